//! A registry of models on a loopback port, over plain HTTP, so that the real Ollama can pull
//! without the internet.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use executor_sdk::prelude::*;

/// A running registry with one model. Its thread ends with the test's process.
pub(crate) struct Registry {
    /// What the model is called, with the registry before it.
    pub(crate) model: String,
}

struct Content {
    manifest: Vec<u8>,
    /// By digest, as `sha256:…`.
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Registry {
    /// Serves a model out of the folder where an Ollama keeps its models.
    pub(crate) fn of(models: &Path, name: &str) -> Self {
        let manifest =
            models.join("manifests/registry.ollama.ai/library").join(name).join("latest");
        let blobs = std::fs::read_dir(models.join("blobs")).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let digest = entry.file_name().into_string().unwrap().replacen('-', ":", 1);
            (digest, std::fs::read(entry.path()).unwrap())
        });
        let content = Arc::new(Content {
            manifest: std::fs::read(manifest).unwrap(),
            blobs: blobs.collect(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let model = format!("{}/library/{name}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let content = Arc::clone(&content);
                thread::spawn(move || drop(serve(&stream, &content)));
            }
        });
        Self { model }
    }
}

/// Answers one request and closes the connection.
fn serve(mut stream: &TcpStream, content: &Content) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut range = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (from, to) = bytes.split_once('-').unwrap();
            range = Some((from.parse::<usize>().unwrap(), to.parse::<usize>().unwrap()));
        }
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let digest = path.rsplit('/').next().unwrap_or_default();
    let (status, location, body) = match content.blobs.get(digest) {
        _ if path.contains("/manifests/") => ("200 OK", String::new(), &content.manifest[..]),
        None => ("404 Not Found", String::new(), &b"{}"[..]),
        Some(blob) if method == "HEAD" => ("200 OK", String::new(), &blob[..]),
        // Registries send their clients on to where the bytes are. A redirection within one host
        // Ollama follows before it reads where it leads, so this one is none.
        Some(_) if path.starts_with("/v2/") => {
            let location = format!("Location: /bytes/{digest}\r\n");
            ("200 OK", location, &b""[..])
        }
        Some(blob) => match range {
            Some((from, to)) => {
                ("206 Partial Content", String::new(), &blob[from..=to.min(blob.len() - 1)])
            }
            None => ("200 OK", String::new(), &blob[..]),
        },
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{location}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    if method != "HEAD" {
        stream.write_all(body)?;
    }
    stream.flush()
}
