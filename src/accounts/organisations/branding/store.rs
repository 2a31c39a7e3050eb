//! Every statement on `brandings`.
use sqlx::PgConnection;

use super::{
    Branding, Contact,
    logo::{ImageKind, Logo, LogoFacts},
};
use crate::{accounts::Scope, input::Name};

pub async fn find(db: &mut PgConnection, scope: &Scope) -> Result<Branding, sqlx::Error> {
    let row = sqlx::query!(
        "select display_name, contact, logo_media_type, logo_width, logo_height from brandings where organisation_id = $1",
        scope.organisation_id()
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else {
        return Ok(Branding::default());
    };
    let kind = row.logo_media_type.as_deref().and_then(ImageKind::parse);
    let logo = kind.zip(size(row.logo_width, row.logo_height));
    Ok(Branding {
        display_name: row.display_name.and_then(|text| Name::parse(&text).ok()),
        contact: row.contact.and_then(|text| Contact::parse(&text).ok()),
        logo: logo.map(|(kind, (width, height))| LogoFacts { kind, width, height }),
    })
}

pub async fn find_logo(db: &mut PgConnection, scope: &Scope) -> Result<Option<Logo>, sqlx::Error> {
    let row = sqlx::query!(
        "select logo, logo_media_type, logo_width, logo_height from brandings where organisation_id = $1",
        scope.organisation_id()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.and_then(|row| {
        let kind = row.logo_media_type.as_deref().and_then(ImageKind::parse)?;
        Some(Logo::stored(kind, row.logo?, size(row.logo_width, row.logo_height)?))
    }))
}

fn size(width: Option<i32>, height: Option<i32>) -> Option<(u32, u32)> {
    Some((u32::try_from(width?).ok()?, u32::try_from(height?).ok()?))
}

/// All but the logo.
pub async fn put(db: &mut PgConnection, scope: &Scope, branding: &Branding) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into brandings (organisation_id, display_name, contact) values ($1, $2, $3)
             on conflict (organisation_id) do update set display_name = excluded.display_name, contact = excluded.contact",
        scope.organisation_id(),
        branding.display_name.as_ref().map(Name::as_str),
        branding.contact.as_ref().map(Contact::as_str),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn put_logo(db: &mut PgConnection, scope: &Scope, logo: &Logo) -> Result<(), sqlx::Error> {
    let LogoFacts { kind, width, height } = logo.facts();
    sqlx::query!(
        "insert into brandings (organisation_id, logo, logo_media_type, logo_width, logo_height) values ($1, $2, $3, $4, $5)
             on conflict (organisation_id) do update
            set logo = excluded.logo, logo_media_type = excluded.logo_media_type, logo_width = excluded.logo_width,
                logo_height = excluded.logo_height",
        scope.organisation_id(),
        logo.bytes(),
        kind.media_type(),
        i32::try_from(width).unwrap_or(i32::MAX),
        i32::try_from(height).unwrap_or(i32::MAX),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_logo(db: &mut PgConnection, scope: &Scope) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query!(
        "update brandings set logo = null, logo_media_type = null, logo_width = null, logo_height = null
          where organisation_id = $1 and logo is not null",
        scope.organisation_id()
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected() == 1)
}
