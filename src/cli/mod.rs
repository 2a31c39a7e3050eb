//! The command line: parses, calls what the API calls too, prints. No logic of its own.
mod check_config;
mod demo;
mod domain;
mod operator;
mod org;
mod paper;
mod person;
mod probe;
mod requests;

use std::{future::Future, process::ExitCode};

use anyhow::Result;
use clap::Subcommand;

use crate::{
    config::{Settings, Sources},
    server::{self, Installation},
    telemetry,
};

#[derive(Subcommand)]
pub enum Command {
    /// Answer devices, programs and people
    Serve {
        /// With example data and a token that is printed
        #[arg(long)]
        demo: bool,
    },
    /// Bring the database to the newest schema
    Migrate,
    /// Show the settings in force, secrets masked
    CheckConfig,
    /// Print the OpenAPI document of the API
    Openapi,
    /// Organisations: MSPs, and companies that host for themselves
    #[command(subcommand)]
    Org(org::Org),
    /// People who see all organisations in the console
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Domains of all organisations
    #[command(subcommand)]
    Domain(domain::DomainCommand),
    /// People of all organisations
    #[command(subcommand)]
    Person(person::Person),
    /// The request log of all organisations
    #[command(subcommand)]
    Requests(requests::RequestsCommand),
    /// What would a device get? Looks at any domain, from here
    Probe(probe::Arguments),
    /// Fill the database with example data
    Demo,
}

impl Command {
    /// Runs to its end. The error is to be shown in one line.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            Self::Probe(arguments) => return Ok(probe::run(&arguments)),
            Self::Serve { demo } => {
                let settings = settings()?;
                telemetry::init(&settings.log);
                telemetry::log_panics();
                block_on(server::run(settings, demo))
            }
            Self::Migrate => with_installation(async |_, _| {
                println!("The database has the newest schema.");
                Ok(())
            }),
            Self::CheckConfig => check_config::run(),
            Self::Openapi => {
                print!("{}", crate::api::openapi::json());
                Ok(())
            }
            Self::Org(command) => with_installation(async |_, installation| org::run(command, installation).await),
            Self::Operator(command) => {
                with_installation(async |_, installation| operator::run(command, installation).await)
            }
            Self::Requests(command) => {
                with_installation(async |_, installation| requests::run(command, installation).await)
            }
            Self::Domain(command) => {
                with_installation(async |_, installation| domain::run(command, installation).await)
            }
            Self::Person(command) => {
                with_installation(async |_, installation| person::run(command, installation).await)
            }
            Self::Demo => with_installation(async |settings, installation| demo::run(settings, installation).await),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}

fn settings() -> Result<Settings> {
    Ok(Sources::read()?.settings()?)
}

/// Finds the same database as `serve`, does `work`, and leaves the database as it was found.
fn with_installation(work: impl AsyncFnOnce(&Settings, &Installation) -> Result<()>) -> Result<()> {
    let settings = settings()?;
    telemetry::init("warn");
    block_on(async {
        let installation = Installation::open(&settings).await?;
        let result = work(&settings, &installation).await;
        installation.close().await;
        result
    })
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()?
        .block_on(future)
}
