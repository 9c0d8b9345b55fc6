//! `tokenbridge admin …`.

use clap::Subcommand;
use serde_json::json;

use super::{
    CliError, call,
    output::{self, Format},
    password::PasswordSource,
};
use crate::{
    domain::{admin::Role, name::AdminName, page::PageSize},
    settings::StoreSettings,
    startup::open_service,
};

#[derive(Subcommand)]
pub enum AdminCommand {
    /// Add an admin
    Add {
        /// Name of the new admin
        name: AdminName,
        /// Role of the new admin
        #[arg(long, default_value = "admin")]
        role: Role,
        #[command(flatten)]
        password: PasswordSource,
        #[command(flatten)]
        store: StoreSettings,
    },
    /// Change an admin's password, effective immediately
    Passwd {
        /// Name of the admin
        #[arg(value_parser = parse_existing_name)]
        name: AdminName,
        #[command(flatten)]
        password: PasswordSource,
        #[command(flatten)]
        store: StoreSettings,
    },
    /// Change an admin's role, effective immediately; the last one with the role admin keeps it
    Role {
        /// Name of the admin
        #[arg(value_parser = parse_existing_name)]
        name: AdminName,
        /// New role
        role: Role,
        #[command(flatten)]
        store: StoreSettings,
    },
    /// Remove an admin; the last one with the role admin cannot be removed
    Remove {
        /// Name of the admin
        #[arg(value_parser = parse_existing_name)]
        name: AdminName,
        #[command(flatten)]
        store: StoreSettings,
    },
    /// List the admins
    List {
        #[command(flatten)]
        store: StoreSettings,
    },
}

pub async fn run(command: AdminCommand, format: Format) -> Result<(), CliError> {
    match command {
        AdminCommand::Add {
            name,
            role,
            password,
            store,
        } => {
            let service = open_service(&store, true)?;
            service.add_admin(call(), name.clone(), password.read()?, role).await?;
            let sentence = format!("added admin {}", name.as_str());
            output::print_result(
                format,
                &json!({ "name": name.as_str(), "role": role.name() }),
                &sentence,
            )
        }
        AdminCommand::Passwd { name, password, store } => {
            let service = open_service(&store, false)?;
            service.change_password(call(), name.clone(), password.read()?).await?;
            let sentence = format!("changed the password of admin {}", name.as_str());
            output::print_result(format, &json!({ "name": name.as_str() }), &sentence)
        }
        AdminCommand::Role { name, role, store } => {
            let service = open_service(&store, false)?;
            service.change_role(call(), name.clone(), role).await?;
            let sentence = format!("the role of admin {} is {role}", name.as_str());
            output::print_result(
                format,
                &json!({ "name": name.as_str(), "role": role.name() }),
                &sentence,
            )
        }
        AdminCommand::Remove { name, store } => {
            open_service(&store, false)?.remove_admin(call(), name.clone()).await?;
            let sentence = format!("removed admin {}", name.as_str());
            output::print_result(format, &json!({ "name": name.as_str() }), &sentence)
        }
        AdminCommand::List { store } => list(format, &store).await,
    }
}

async fn list(format: Format, store: &StoreSettings) -> Result<(), CliError> {
    let service = open_service(store, false)?;
    let (mut admins, mut after) = (Vec::new(), None);
    loop {
        let page = service.list_admins(&call(), after, PageSize::MAX).await?;
        admins.extend(page.admins);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    match format {
        Format::Json => {
            let entries = admins.iter().map(|admin| {
                json!({
                    "name": admin.name.as_str(),
                    "createdAt": admin.created_at,
                    "passwordChangedAt": admin.password_changed_at,
                    "passwordOrigin": admin.password_origin.name(),
                    "role": admin.role.name(),
                })
            });
            output::print_json(&entries.collect::<Vec<_>>())
        }
        Format::Table => {
            let header = ["NAME", "ROLE", "ADDED", "PASSWORD CHANGED", "PASSWORD ORIGIN"].map(str::to_owned);
            let rows = admins.iter().map(|admin| {
                let changed = admin
                    .password_changed_at
                    .map_or_else(|| "never".to_owned(), |at| at.to_string());
                [
                    admin.name.as_str().to_owned(),
                    admin.role.to_string(),
                    admin.created_at.to_string(),
                    changed,
                    admin.password_origin.name().to_owned(),
                ]
            });
            output::print_table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
        }
    }
}

fn parse_existing_name(text: &str) -> Result<AdminName, String> {
    AdminName::parse_existing(text)
        .ok_or_else(|| "is not a valid admin name; list the admins with `tokenbridge admin list`".to_owned())
}
