//! Example data for a trial: three clients and their domains, and a token that is the same at every start.
use sqlx::{PgConnection, PgPool};

use crate::{
    accounts::{
        Operator, clients,
        organisations::{self, OrganisationError},
        token::{self, TokenText},
    },
    domains::{self, Connection, Default, DomainError, NewDomain, OwnHosts},
    hostname::Hostname,
    sealed::Keyring,
    vendors::{self, Enrollment, Vendor},
};

const ORGANISATION: &str = "Demo MSP";
/// The domain that the printed lines ask for.
pub const HOSTNAME: &str = "contoso.example";

struct Example {
    client: &'static str,
    hostname: &'static str,
    vendor: Vendor,
    enrollment: Enrollment,
    parameters: &'static [(&'static str, &'static str)],
    is_verified: bool,
}

const EXAMPLES: &[Example] = &[
    Example {
        client: "Contoso",
        hostname: HOSTNAME,
        vendor: Vendor::Intune,
        enrollment: Enrollment::Byod,
        parameters: &[("tenant_id", "11111111-2222-3333-4444-555555555555")],
        is_verified: true,
    },
    Example {
        client: "Fabrikam",
        hostname: "fabrikam.example",
        vendor: Vendor::JamfPro,
        enrollment: Enrollment::Byod,
        parameters: &[("host", "fabrikam.jamfcloud.com")],
        is_verified: true,
    },
    Example {
        client: "Woodgrove",
        hostname: "woodgrove.example",
        vendor: Vendor::Intune,
        enrollment: Enrollment::Byod,
        parameters: &[
            ("tenant_id", "66666666-7777-8888-9999-aaaaaaaaaaaa"),
            ("cloud", "us_government"),
        ],
        is_verified: false,
    },
];

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
    #[error(transparent)]
    Client(#[from] clients::ClientError),
    #[error(transparent)]
    Domain(#[from] DomainError),
    #[error("the secret of the demo token has a wrong length")]
    Seed,
    #[error("the demo could not be written")]
    Database(#[from] sqlx::Error),
}

/// Makes what is missing of the demo. Returns its token.
pub async fn fill(pool: &PgPool, keyring: &Keyring, own: &OwnHosts) -> Result<TokenText, DemoError> {
    let operator = Operator::at_the_command_line();
    let mut tx = pool.begin().await?;
    let text = token_text(&mut tx, keyring).await?;
    let organisation_id = match organisations::store::find_by_name(&mut tx, operator, ORGANISATION).await? {
        Some(id) => id,
        None => {
            organisations::create(&mut tx, operator, keyring, ORGANISATION, "demo@signpost.example")
                .await?
                .organisation_id
        }
    };
    let scope = operator.scope(organisation_id);
    token::store::upsert_demo(&mut tx, &scope, &text).await?;
    for example in EXAMPLES {
        let Ok(hostname) = Hostname::parse(example.hostname) else {
            continue;
        };
        if domains::store::find_by_hostname(&mut tx, &scope, &hostname)
            .await?
            .is_some()
        {
            continue;
        }
        let client = clients::find_or_create(&mut tx, &scope, example.client).await?;
        match register(&mut tx, &client, own, example, hostname).await {
            // Somebody uses the name in earnest: theirs stays.
            Ok(()) | Err(DomainError::HostnameTaken(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    tx.commit().await?;
    Ok(text)
}

/// Follows from the first key that there ever was, and is kept beyond it: a new key changes no token.
async fn token_text(db: &mut PgConnection, keyring: &Keyring) -> Result<TokenText, DemoError> {
    const NAME: &str = "demo token";
    let seed = organisations::store::find_or_insert_secret_as(db, keyring, NAME, &keyring.derive(NAME)).await?;
    let seed = <[u8; 32]>::try_from(seed).map_err(|_| DemoError::Seed)?;
    Ok(TokenText::from_seed(seed))
}

async fn register(
    db: &mut PgConnection,
    client: &crate::accounts::ClientScope,
    own: &OwnHosts,
    example: &Example,
    hostname: Hostname,
) -> Result<(), DomainError> {
    let parameters = example
        .parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    let server = vendors::configure(example.vendor, Some(example.enrollment), &parameters)
        .map_err(|errors| DomainError::Stored(format!("{errors:?}")))?;
    let new = NewDomain {
        hostname: hostname.clone(),
        connection: Connection::Direct,
        website_url: None,
        default: Default::NewServer(server),
        rules: Vec::new(),
    };
    domains::register(db, client, own, new).await?;
    if example.is_verified {
        domains::verify(
            db,
            Operator::at_the_command_line(),
            &hostname,
            None,
            crate::clock::now(),
        )
        .await?;
    }
    Ok(())
}
