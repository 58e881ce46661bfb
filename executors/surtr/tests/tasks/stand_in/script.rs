//! How the stand-in answers: by path, and by the name of the model.

use std::net::TcpStream;
use std::sync::Mutex;

use executor_sdk::prelude::*;

use super::{State, chunk, chunks, hang, head, whole};

/// How many dimensions its vectors have: those of the model that the real Ollama is tested with.
const DIMENSIONS: usize = 32;

pub(super) fn answer(stream: &TcpStream, path: &str, body: &Value, state: &Mutex<State>) {
    let asked = body["model"].as_str().unwrap_or_default().to_owned();
    if !body.is_null() {
        state.lock().unwrap().orders.push((path.to_owned(), body.clone()));
    }
    let name = if asked.contains(':') { asked.clone() } else { format!("{asked}:latest") };
    match path {
        "/api/version" => return whole(stream, 200, r#"{"version":"0.9.6"}"#),
        "/api/tags" => return whole(stream, 200, &tags(&state.lock().unwrap())),
        "/api/ps" => return whole(stream, 200, &processes(&state.lock().unwrap())),
        "/api/pull" => return pull(stream, &asked, &name, state),
        _ => {}
    }
    let is_there = state.lock().unwrap().models.contains(&name);
    if !is_there && !KNOWN.contains(&asked.as_str()) {
        let error = json!({"error": format!("model '{asked}' not found")});
        return whole(stream, 404, &error.to_string());
    }
    match path {
        "/api/delete" => {
            let mut state = state.lock().unwrap();
            if !state.lies {
                state.models.retain(|model| *model != name);
                state.loaded.retain(|model| *model != name);
            }
            whole(stream, 200, "");
        }
        "/api/generate" if body["keep_alive"] == json!(0) => {
            let mut state = state.lock().unwrap();
            if !state.lies {
                state.loaded.retain(|model| *model != name);
            }
            whole(stream, 200, r#"{"done":true,"done_reason":"unload"}"#);
        }
        "/api/generate" if body["prompt"].is_null() => {
            load(&mut state.lock().unwrap(), &name);
            whole(stream, 200, r#"{"done":true,"done_reason":"load"}"#);
        }
        "/api/generate" | "/api/chat" => {
            load(&mut state.lock().unwrap(), &name);
            say(stream, &asked, path == "/api/chat", state);
        }
        "/api/embed" => embed(stream, &asked, body),
        _ => whole(stream, 404, "404 page not found"),
    }
}

/// The models that are not listed, but answer in their own ways.
const KNOWN: [&str; 12] = [
    "thinks",
    "json",
    "empty",
    "breaks",
    "ends-early",
    "is-cut-off",
    "no-newline",
    "in-pieces",
    "hangs",
    "busy",
    "a-proxy",
    "talks-nonsense",
];

fn load(state: &mut State, name: &str) {
    if state.models.iter().any(|model| model == name) && !state.loaded.iter().any(|it| it == name) {
        state.loaded.push(name.to_owned());
        state.loads += 1;
    }
}

fn tags(state: &State) -> String {
    let of = |name: &String| {
        json!({
            "name": name, "model": name, "size": 130_000, "digest": format!("digest of {name}"),
            "modified_at": "2026-01-01T00:00:00Z",
            "details": {"family": "llama", "parameter_size": "30K", "quantization_level": "F32"},
        })
    };
    json!({"models": state.models.iter().map(of).collect::<Vec<_>>()}).to_string()
}

fn processes(state: &State) -> String {
    let vram = state.vram[state.loads.saturating_sub(1).min(state.vram.len() - 1)];
    let of = |name: &String| {
        json!({
            "name": name, "size": 200, "size_vram": vram, "context_length": 4096,
            "expires_at": "2026-01-01T00:05:00Z",
        })
    };
    json!({"models": state.loaded.iter().map(of).collect::<Vec<_>>()}).to_string()
}

/// Says "Hello", or what the model's name is for.
fn say(stream: &TcpStream, model: &str, is_chat: bool, state: &Mutex<State>) {
    let piece = |text: &str, thinking: &str| {
        let mut line = json!({"done": false});
        if is_chat {
            line["message"] = json!({"role": "assistant", "content": text, "thinking": thinking});
        } else {
            line["response"] = json!(text);
            line["thinking"] = json!(thinking);
        }
        format!("{line}\n")
    };
    let hello = piece("Hel", "");
    let world = piece("lo", "");
    let end = format!(
        "{}\n",
        json!({
            "model": model, "response": "", "done": true, "done_reason": "stop",
            "total_duration": 3_000_000_000_u64, "load_duration": 500_000_000,
            "prompt_eval_count": 5, "prompt_eval_duration": 1_000_000_000,
            "eval_count": 2, "eval_duration": 500_000_000,
        })
    );
    match model {
        "thinks" => chunks(stream, &[piece("", "hm"), hello, end], true),
        "json" => chunks(stream, &[piece("{\"a\":1}", ""), end], true),
        "empty" => chunks(stream, &[end], true),
        "breaks" => {
            let error = "{\"error\":\"CUDA error: out of memory\"}\n".to_owned();
            chunks(stream, &[hello, error], true);
        }
        "ends-early" => chunks(stream, &[hello, world], true),
        "is-cut-off" => chunks(stream, &[hello], false),
        "no-newline" => chunks(stream, &[hello, end.trim_end().to_owned()], true),
        "in-pieces" => {
            let line = piece("Grüße", "").into_bytes();
            let at = line.iter().position(|byte| *byte == 0xc3).unwrap() + 1;
            head(stream);
            for piece in [&line[..5], &line[5..at], &line[at..], end.as_bytes()] {
                chunk(stream, piece);
            }
            chunk(stream, b"");
        }
        "hangs" => {
            head(stream);
            chunk(stream, hello.as_bytes());
            hang(stream, state);
        }
        "busy" => whole(stream, 503, r#"{"error":"server busy, please try again"}"#),
        "a-proxy" => whole(stream, 502, "<html><body>Bad\n Gateway</body></html>"),
        "talks-nonsense" => chunks(stream, &["<html>\n".to_owned()], true),
        _ => chunks(stream, &[hello, world, end], true),
    }
}

fn embed(stream: &TcpStream, model: &str, body: &Value) {
    let texts = body["input"].as_array().map_or(1, Vec::len);
    let vectors = match model {
        "empty" => Vec::new(),
        _ => vec![vec![0.5; DIMENSIONS]; texts],
    };
    let answer =
        json!({"embeddings": vectors, "prompt_eval_count": 4, "total_duration": 1_000_000});
    whole(stream, 200, &answer.to_string());
}

fn pull(stream: &TcpStream, model: &str, name: &str, state: &Mutex<State>) {
    let total = 1_000_000;
    let manifest = "{\"status\":\"pulling manifest\"}\n".to_owned();
    let success = "{\"status\":\"success\"}\n".to_owned();
    let layer = |completed: u64| {
        let status = "pulling 6f85";
        let line = json!({
            "status": status, "digest": "sha256:6f85", "total": total, "completed": completed,
        });
        format!("{line}\n")
    };
    let error = |text: &str| format!("{}\n", json!({"error": text}));
    match model {
        "new" => {
            let mut lines = vec![manifest];
            lines.extend((0..=1000).map(|n| layer(n * 1000)));
            lines.push("{\"status\":\"verifying sha256 digest\"}\n".to_owned());
            lines.push(success);
            state.lock().unwrap().models.push(name.to_owned());
            chunks(stream, &lines, true);
        }
        "tiny" | "lies" => chunks(stream, &[manifest, success], true),
        "breaks" => {
            let broken = error("write blobs/sha256-6f85: no space left on device");
            chunks(stream, &[manifest, layer(400_000), broken], true);
        }
        "ends-early" => chunks(stream, &[manifest, layer(400_000)], true),
        "is-cut-off" => chunks(stream, &[manifest, layer(400_000)], false),
        "hangs" => {
            head(stream);
            chunk(stream, manifest.as_bytes());
            chunk(stream, layer(420_000).as_bytes());
            hang(stream, state);
        }
        _ if model.starts_with("127.0.0.1:") => {
            let refused = "pull model manifest: Get \"https://127.0.0.1\": dial tcp 127.0.0.1: \
                           connect: connection refused";
            chunks(stream, &[manifest, error(refused)], true);
        }
        _ => chunks(stream, &[manifest, error("pull model manifest: file does not exist")], true),
    }
}
