//! The part of a form that says which MDM: one that the client has, or a vendor with what its address needs. Works by
//! buttons that draw the page again, and lose nothing that was typed.
use uuid::Uuid;

use super::words;
use crate::{
    console::{Console, fault::Fault, form::Form},
    domains::{
        intake::{
            IntakeError, Parameters, ServerInput,
            tenants::{away, nobodys},
        },
        servers::MdmServer,
    },
    entra::Tenant,
    hostname::Hostname,
    vendors::{self, Vendor},
};

/// What a button asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To do it.
    Finish,
    /// The fields of the MDM that is chosen.
    ShowFields,
    /// The tenant of the domain.
    LookUp,
    /// What the document that was pasted says.
    Recognise,
}

impl Step {
    #[must_use]
    pub fn of(form: &Form) -> Self {
        match form.value("step") {
            "fields" => Self::ShowFields,
            "look-up" => Self::LookUp,
            "recognise" => Self::Recognise,
            _ => Self::Finish,
        }
    }
}

/// What a select offers.
pub struct Choice {
    pub value: String,
    pub label: String,
}

/// What the page shows of it.
pub struct MdmPart {
    /// Servers that the client has already.
    pub own: Vec<Choice>,
    pub vendors: Vec<VendorPart>,
    /// What is chosen: a vendor's key, or the id of a server.
    pub chosen: String,
    /// The field with the domain that a tenant is looked up by.
    pub domain_field: &'static str,
    /// What was found out just now.
    pub note: Option<String>,
}

pub struct VendorPart {
    pub key: &'static str,
    pub name: &'static str,
    pub enrollments: Vec<Choice>,
    pub parameters: Vec<ParameterPart>,
    pub is_intune: bool,
}

pub struct ParameterPart {
    /// The field's name.
    pub field: String,
    pub label: &'static str,
    pub hint: &'static str,
    /// None: a text.
    pub choices: Vec<Choice>,
    pub is_required: bool,
}

impl MdmPart {
    #[must_use]
    pub fn new(form: &Form, own: &[MdmServer], domain_field: &'static str) -> Self {
        let offered: Vec<_> = own.iter().map(server_choice).collect();
        let typed = form.value("mdm");
        let is_known = Vendor::from_key(typed).is_some() || offered.iter().any(|choice| choice.value == typed);
        Self {
            chosen: match is_known {
                true => typed.to_owned(),
                false => Vendor::ALL[0].key().to_owned(),
            },
            own: offered,
            vendors: Vendor::ALL.map(VendorPart::new).into(),
            domain_field,
            note: None,
        }
    }

    /// Its fields are on the page. None: a server that the client has needs none.
    #[must_use]
    pub fn vendor(&self) -> Option<&VendorPart> {
        self.vendors.iter().find(|vendor| vendor.key == self.chosen)
    }
}

fn server_choice(server: &MdmServer) -> Choice {
    Choice {
        value: server.id.to_string(),
        label: format!("{}: {}", server.name, summary(&server.server)),
    }
}

/// What tells one server of a vendor from another.
#[must_use]
pub fn summary(server: &vendors::Server) -> String {
    let text = |name: &str| server.parameters().get(name).and_then(|value| value.as_str());
    let first = server.vendor().description().parameters.first();
    let told = first.and_then(|parameter| text(parameter.name)).unwrap_or_default();
    format!("{told} ({})", server.enrollment().key())
}

impl VendorPart {
    #[must_use]
    pub fn new(vendor: Vendor) -> Self {
        let description = vendor.description();
        let enrollments = description.enrollments().map(|enrollment| Choice {
            value: enrollment.key().to_owned(),
            label: words::enrollment(enrollment).to_owned(),
        });
        let parameters = description.parameters.iter().map(|parameter| {
            let (label, hint) = words::parameter(parameter);
            let choices = parameter.kind.values().unwrap_or_default().into_iter();
            ParameterPart {
                field: field(parameter.name),
                label,
                hint,
                choices: choices
                    .map(|value| Choice {
                        value: value.to_owned(),
                        label: words::choice(value).to_owned(),
                    })
                    .collect(),
                is_required: parameter.required && !(vendor == Vendor::Intune && parameter.name == "tenant_id"),
            }
        });
        Self {
            key: description.key,
            name: description.name,
            enrollments: enrollments.collect(),
            parameters: parameters.collect(),
            is_intune: vendor == Vendor::Intune,
        }
    }
}

/// The field of a parameter.
fn field(parameter: &str) -> String {
    format!("p_{parameter}")
}

/// Which MDM a form names.
pub enum Chosen {
    Stored(Uuid),
    New(ServerInput),
}

#[must_use]
pub fn chosen(form: &Form) -> Chosen {
    match form.value("mdm").parse() {
        Ok(id) => Chosen::Stored(id),
        Err(_) => Chosen::New(server_input(form, form.value("mdm"))),
    }
}

/// The server of a vendor, with what was typed into its fields. An empty field was not filled in.
#[must_use]
pub fn server_input(form: &Form, vendor: &str) -> ServerInput {
    let known = Vendor::from_key(vendor).map_or(&[][..], |vendor| vendor.description().parameters);
    let typed = known.iter().filter_map(|parameter| {
        let text = form.value(&field(parameter.name)).trim();
        (!text.is_empty()).then(|| (parameter.name.to_owned(), text.into()))
    });
    ServerInput {
        vendor: vendor.to_owned(),
        parameters: typed.collect::<Parameters>(),
        enrollment: Some(form.value("enrollment").to_owned()).filter(|text| !text.is_empty()),
        tenant: None,
    }
}

/// Writes the server into the form's fields.
pub fn fill_in(form: &mut Form, server: &vendors::Server) {
    form.set("mdm", server.vendor().key());
    form.set("enrollment", server.enrollment().key());
    for (name, value) in server.parameters() {
        form.set(&field(name), value.as_str().unwrap_or_default());
    }
}

/// Puts the tenant of the domain into the form, and says which it is; or says at the field why not.
pub async fn look_up(console: &Console, form: &mut Form, domain_field: &str) -> Option<String> {
    let domain = form.parse(domain_field, Hostname::parse)?;
    match console.entra.lookup(&domain).await {
        Ok(Some(tenant)) => {
            form.set("mdm", Vendor::Intune.key());
            form.set(&field("tenant_id"), tenant.tenant_id.to_string());
            form.set(&field("cloud"), tenant.cloud.as_str());
            Some(told(&domain, &tenant))
        }
        Ok(None) => {
            let detail = format!(
                "{}. Paste the tenant ID: the Entra admin center shows it as \"Tenant ID\".",
                nobodys(&domain)
            );
            form.complain(&field("tenant_id"), detail);
            None
        }
        Err(error) => {
            tracing::warn!(%error, "a tenant could not be looked up");
            form.complain(
                &field("tenant_id"),
                away(&domain).replace("Give tenant_id", "Paste the tenant ID"),
            );
            None
        }
    }
}

fn told(domain: &Hostname, tenant: &Tenant) -> String {
    let region = tenant.region.as_deref().map(|region| format!(", region {region}"));
    format!(
        "Microsoft Entra says that {domain} belongs to the tenant {} ({}{}). If that is right, go on.",
        tenant.tenant_id,
        words::choice(tenant.cloud.as_str()),
        region.unwrap_or_default()
    )
}

/// Puts what a pasted document says into the form, and says what it is; or says at the field why not.
pub fn recognise(form: &mut Form) -> Option<String> {
    let server = form.parse("document", vendors::recognise)?;
    fill_in(form, &server);
    Some(match server.vendor() {
        Vendor::Custom => {
            "The document is of no MDM that we know by its address, so devices are sent to its URL as it stands."
                .to_owned()
        }
        vendor => format!("The document is of {}. What it says is filled in below.", vendor.name()),
    })
}

/// Says at its field what is wrong; what no field can mend is a page of its own.
pub fn complain(form: &mut Form, error: IntakeError) -> Result<(), Fault> {
    use crate::{accounts::clients::ClientError, domains::DomainError};
    match error {
        IntakeError::Invalid(errors) => errors
            .iter()
            .for_each(|error| form.complain(&field_of(&error.pointer), &error.detail)),
        IntakeError::Client(ClientError::LimitedToOneClient) => {
            form.complain("client", "must be your own: you see no other client");
        }
        IntakeError::Domain(error @ DomainError::HostnameTaken(_)) => form.complain("hostname", error),
        IntakeError::Domain(error @ DomainError::TooManyUnverified { .. }) => {
            form.complain("hostname", sentence(&error))
        }
        error => return Err(error.into()),
    }
    Ok(())
}

/// An error's text as a sentence of its own.
fn sentence(error: &impl ToString) -> String {
    let mut text = error.to_string();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text + "."
}

/// The field that an error speaks of, by its pointer.
fn field_of(pointer: &str) -> String {
    match pointer.strip_prefix("/server/parameters/") {
        Some(parameter) => field(parameter),
        None => match pointer.rsplit('/').next().unwrap_or_default() {
            "client_name" | "client_id" => "client".to_owned(),
            "server" | "server_id" | "vendor" => "mdm".to_owned(),
            other => other.to_owned(),
        },
    }
}
