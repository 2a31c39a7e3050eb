//! The web servers of Debian's packages nginx, apache2 and caddy, each with one test's configuration.
use std::{net::TcpStream, path::Path, process::Command};

use crate::process::{Process, TestDir, start_on_a_free_port};

/// A web server on a port of its own.
pub struct WebServer {
    pub port: u16,
    process: Process,
    _dir: TestDir,
}

impl WebServer {
    /// nginx with this `http { … }`; `{port}` stands for its port, `{dir}` for the directory of its files.
    pub fn nginx(http: &str) -> Self {
        let config = format!(
            "daemon off; master_process off; pid {{dir}}/pid; error_log stderr;\n\
             events {{ worker_connections 64; }}\n\
             http {{ default_type application/json; server_names_hash_bucket_size 128;\n\
             access_log off; client_body_temp_path {{dir}}/1; proxy_temp_path {{dir}}/2; fastcgi_temp_path {{dir}}/3;\n\
             uwsgi_temp_path {{dir}}/4; scgi_temp_path {{dir}}/5;\n\
             {http}\n}}\n"
        );
        Self::start(&config, |dir, config| {
            let mut nginx = Command::new("nginx");
            nginx.arg("-e").arg("stderr").arg("-p").arg(dir).arg("-c").arg(config);
            nginx
        })
    }

    /// Apache as Debian builds it, with the modules of its `a2enmod` named here and with this configuration.
    pub fn apache(modules: &[&str], config: &str) -> Self {
        let load = |name: &&str| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so");
        let modules = ["mpm_event", "authz_core", "alias", "dir"].iter().chain(modules);
        let modules = modules.map(load).collect::<Vec<_>>().join("\n");
        let config = format!(
            "ServerRoot {{dir}}\nServerName localhost\nDefaultRuntimeDir {{dir}}\nPidFile {{dir}}/pid\n\
             ErrorLog /dev/stderr\nListen 127.0.0.1:{{port}}\n{modules}\n{config}\n"
        );
        Self::start(&config, |_, config| {
            let mut apache = Command::new("apache2");
            // One process, so that there is one to end.
            apache.arg("-X").arg("-f").arg(config);
            apache
        })
    }

    /// `HAProxy` with this configuration; `{port}` stands for a port of its own.
    pub fn haproxy(config: &str) -> Self {
        let config = format!(
            "global\n maxconn 2000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n{config}\n"
        );
        Self::start(&config, |_, config| {
            let mut haproxy = Command::new("haproxy");
            haproxy.arg("-db").arg("-f").arg(config);
            haproxy
        })
    }

    /// Caddy with these sites.
    pub fn caddy(sites: &str) -> Self {
        let config = format!("{{\n\tadmin off\n\tauto_https off\n}}\n{sites}\n");
        Self::start(&config, |dir, config| {
            let mut caddy = Command::new("caddy");
            caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
            caddy
                .env("HOME", dir)
                .env("XDG_CONFIG_HOME", dir)
                .env("XDG_DATA_HOME", dir);
            caddy
        })
    }

    fn start(config: &str, command: impl Fn(&Path, &Path) -> Command) -> Self {
        start_on_a_free_port(|port| {
            let dir = TestDir::new();
            let config = config
                .replace("{port}", &port.to_string())
                .replace("{dir}", &dir.path().display().to_string());
            let config = dir.write("config", config);
            let mut process = Process::start(&mut command(dir.path(), &config), dir.path().join("log"));
            match process.is_up(|| TcpStream::connect(("127.0.0.1", port)).is_ok()) {
                true => Ok(Self {
                    port,
                    process,
                    _dir: dir,
                }),
                false => Err(process.said()),
            }
        })
    }

    /// What it has written to its log.
    pub fn said(&self) -> String {
        self.process.said()
    }
}
