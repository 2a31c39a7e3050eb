//! A certified provider of somebody else's making. The browser's tests use it as well.
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// node-oidc-provider; ends with the value.
pub struct RealProvider {
    pub issuer: String,
    child: Child,
    /// It goes on to say things, and would end if nobody could hear them.
    _said: BufReader<ChildStdout>,
}

impl RealProvider {
    pub fn start(redirect_uri: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = root.join("target/oidc-provider/node_modules");
        assert!(
            modules.is_dir(),
            "script/test fetches oidc-provider: {}",
            modules.display()
        );
        let mut child = Command::new("node")
            .arg(root.join("tests/oidc-provider/provider.mjs"))
            .arg(modules)
            .arg(redirect_uri)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut issuer = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut issuer).unwrap();
        assert!(issuer.starts_with("http://127.0.0.1:"), "{issuer}");
        Self {
            issuer: issuer.trim().to_owned(),
            child,
            _said: said,
        }
    }
}

impl Drop for RealProvider {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
