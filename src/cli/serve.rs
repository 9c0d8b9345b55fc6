//! `tokenbridge serve`.

use std::{fs, sync::Arc};

use secrecy::SecretString;

use crate::{
    domain::{Invalid, admin::Password, name::AdminName},
    http::TrustedProxy,
    service::Service,
    settings::{ListenAddress, ServeSettings, env_variable},
    startup::{StartError, build, listeners::Listeners, logging, open_service, signals},
};

pub const USERNAME: &str = "TOKENBRIDGE_ADMIN_USERNAME";
pub const PASSWORD: &str = "TOKENBRIDGE_ADMIN_PASSWORD";
pub const PASSWORD_FILE: &str = "TOKENBRIDGE_ADMIN_PASSWORD_FILE";

pub const FIRST_ADMIN_HELP: &str = "\
First start: if there is no admin, the server creates one from TOKENBRIDGE_ADMIN_USERNAME (default: admin) and
TOKENBRIDGE_ADMIN_PASSWORD or TOKENBRIDGE_ADMIN_PASSWORD_FILE. Without a password, it generates one and prints it
once to standard error.";

/// Serves until SIGTERM or SIGINT.
pub async fn serve(settings: &ServeSettings) -> Result<(), StartError> {
    let hangups = signals::hangups()?;
    let inherited = Listeners::inherit()?;
    let _logging = logging::init(settings.log_format)?;
    let config = settings.http_config()?;
    // Refused before a store is created.
    settings.replica_url()?;
    if !inherited.sockets.is_empty() {
        log::info!("using the sockets of the service manager (LISTEN_FDS) instead of --listen");
    }
    let service = Arc::new(open_service(&settings.store, true)?);
    if service.has_admins().await? {
        report_ignored_password()?;
    } else {
        create_first_admin(&service).await?;
    }
    let running = build(settings, config, service, inherited).await?;
    report_addresses(settings, &running.addresses);
    if let Some(metrics) = running.metrics_address {
        log::info!("serving metrics on http://{metrics}/metrics");
    }
    running.handle_signals(hangups)?;
    running.run_until_stopped().await?;
    log::info!("stopped");
    Ok(())
}

/// Logs the addresses, and warns of what clients lose on them.
fn report_addresses(settings: &ServeSettings, addresses: &[ListenAddress]) {
    let serves_https = settings.tls_cert.is_some();
    let scheme = if serves_https { "https" } else { "http" };
    for address in addresses {
        match address {
            ListenAddress::Tcp(address) => log::info!("listening on {scheme}://{address}{}", settings.base_path),
            ListenAddress::Unix(_) => log::info!("listening on {address}"),
        }
    }
    let is_foreign = |address: &&ListenAddress| match address {
        ListenAddress::Tcp(address) => !address.ip().to_canonical().is_loopback(),
        ListenAddress::Unix(_) => false,
    };
    if let Some(address) = addresses.iter().find(is_foreign).filter(|_| !serves_https) {
        log::warn!(
            "{address} (--listen, TOKENBRIDGE_LISTEN) accepts plain HTTP from other machines: passwords and tokens can \
             be read on the network; set --tls-cert (TOKENBRIDGE_TLS_CERT) and --tls-key (TOKENBRIDGE_TLS_KEY), or use \
             a TLS proxy"
        );
    }
    let is_unix = |address: &&ListenAddress| matches!(address, ListenAddress::Unix(_));
    let trusts_unix = settings.trusted_proxy.contains(&TrustedProxy::UnixSocket);
    if let Some(address) = addresses.iter().find(is_unix).filter(|_| !trusts_unix) {
        log::warn!(
            "the clients of {address} have no address: tokens with allowed CIDR blocks are refused there, and all \
             clients share the limit of failed logins; if only a proxy connects to it, set --trusted-proxy unix \
             (TOKENBRIDGE_TRUSTED_PROXY)"
        );
    }
}

async fn create_first_admin(service: &Service) -> Result<(), StartError> {
    let (name, password) = read_first_admin()?;
    if let Some(first) = service.ensure_admin(name, password).await? {
        let name = first.name.as_str();
        match first.generated_password {
            Some(password) => eprintln!(
                "\nCreated the first admin, {name:?}, with this password. It is not shown again:\n\n    {}\n",
                password.expose()
            ),
            None => log::info!("created the first admin, {name:?}, with the password from the environment"),
        }
    }
    Ok(())
}

/// Logs that the password for the first admin is ignored. Otherwise an operator who changes the
/// variable would expect a new password.
fn report_ignored_password() -> Result<(), Invalid> {
    // A file that cannot be read may hold one.
    let has_password_file = env_variable(PASSWORD_FILE)?.is_some_and(|path| !matches!(read_password(&path), Ok(None)));
    for (name, is_set) in [
        (PASSWORD, env_variable(PASSWORD)?.is_some()),
        (PASSWORD_FILE, has_password_file),
    ] {
        if is_set {
            log::info!(
                "{name} is ignored because an admin already exists; \
                 change a password with `tokenbridge admin passwd NAME`"
            );
        }
    }
    Ok(())
}

/// Reads a password from a file. An empty file counts as unset, as an empty variable does.
fn read_password(path: &str) -> Result<Option<String>, Invalid> {
    let text = fs::read_to_string(path).map_err(|error| Invalid::new(PASSWORD_FILE, format!("{path}: {error}")))?;
    let password = text.trim_end_matches(['\r', '\n']);
    Ok((!password.is_empty()).then(|| password.to_owned()))
}

/// Reads the name and password of the first admin from the environment.
fn read_first_admin() -> Result<(AdminName, Option<Password>), StartError> {
    let name = env_variable(USERNAME)?.as_deref().unwrap_or("admin").parse()?;
    let password = match env_variable(PASSWORD)? {
        Some(password) => Some(password),
        None => env_variable(PASSWORD_FILE)?
            .map(|path| read_password(&path))
            .transpose()?
            .flatten(),
    };
    let password = password
        .map(|text| Password::parse(SecretString::from(text)))
        .transpose()?;
    if password.as_ref().is_some_and(Password::is_short) {
        log::warn!(
            "the password of the first admin has fewer than 8 characters; \
             use a longer one, except for a trial on this machine"
        );
    }
    Ok((name, password))
}
