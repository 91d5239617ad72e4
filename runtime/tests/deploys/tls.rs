//! The command line to a server behind TLS: it speaks to one whose certificate it trusts, and to no other.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::server::{Server, TOKEN};
use super::{KEYS, datasource};

/// Ends TLS in front of a server, as a proxy does. Returns the port; the certificate goes to a file.
async fn secured(address: String, certificate: &Path) -> u16 {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(certificate, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, address) = (acceptor.clone(), address.clone());
            tokio::spawn(async move {
                let mut inside = TcpStream::connect(address).await.unwrap();
                if let Ok(mut outside) = acceptor.accept(stream).await {
                    _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_goes_to_a_server_behind_tls() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.datasource");
    std::fs::write(&file, datasource("`id` UInt64", KEYS)).unwrap();
    let server = Server::start(folder.path());
    let certificate = folder.path().join("certificate.pem");
    let port = secured(server.address().to_owned(), &certificate).await;
    let changed = tempfile::tempdir().unwrap();
    let more = datasource("`id` UInt64,\n`more` String", KEYS);
    std::fs::write(changed.path().join("t.datasource"), more).unwrap();
    let run = |host: &str, trusted: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_pipewright"))
            .arg("deploy")
            .arg(changed.path())
            .env("PIPEWRIGHT_HOST", format!("https://{host}:{port}"))
            .env("PIPEWRIGHT_TOKEN", TOKEN)
            .env("SSL_CERT_FILE", trusted)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    // Another name than the certificate's, and a certificate that nobody trusts.
    let (code, said) = run("127.0.0.1", &certificate);
    assert!(
        code != Some(0) && said.contains("no secure connection"),
        "{said}"
    );
    let other = folder.path().join("other.pem");
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();
    let (code, said) = run("localhost", &other);
    assert!(
        code != Some(0) && said.contains("no secure connection"),
        "{said}"
    );
    let (code, said) = run("localhost", &certificate);
    assert_eq!(code, Some(0), "{said}");
    let (status, text) = server.request("GET", "/v0/datasources/t", b"").unwrap();
    assert!(status == 200 && text.contains("\"more\""), "{text}");
}
