//! `gpu-verify`.

use executor_sdk::harness::{Ending, Harness};
use executor_sdk::prelude::*;
use surtr_executor::Surtr;

use crate::common::{NO_CARDS, ONE_CARD, closed, completed, failed, surtr_at};
use crate::real::{Real, on_path};
use crate::stand_in::StandIn;

#[tokio::test]
async fn without_a_card_it_fails_with_the_list_of_what_was_looked_at() {
    let (ollama, surtr) = with_program(NO_CARDS).await;

    let outcome = surtr.execute("gpu-verify", json!({"model": "tiny"})).await.unwrap();

    assert_eq!(
        failed(&outcome),
        "no GPU found; looked at nvidia-smi (`nvidia-smi` exited with 9: NVIDIA-SMI has failed: no \
         driver), /nonexistent/proc/driver/nvidia (not there), /nonexistent/sys/class/drm (not \
         there)"
    );
    assert_eq!(outcome.data["looked_at"].as_array().unwrap().len(), 3);
    assert_eq!(ollama.state().orders, [], "nothing is loaded onto the CPU");
}

#[tokio::test]
async fn a_card_with_enough_memory_is_verified() {
    let (_ollama, surtr) = with_program(ONE_CARD).await;

    let outcome = surtr.execute("gpu-verify", json!({"min_vram": "23G"})).await.unwrap();

    let gpu = &completed(&outcome)["gpus"][0];
    assert_eq!(gpu["memory_total_bytes"], json!(24564_u64 << 20));
    assert_eq!((&gpu["busy_percent"], &gpu["temperature_celsius"]), (&json!(3), &json!(41)));
    assert_eq!(
        (&gpu["driver_version"], &gpu["pci"]),
        (&json!("560.35.03"), &json!("0000:01:00.0"))
    );
    assert!(outcome.output.contains("no `model` was named"), "{}", outcome.output);

    let outcome = surtr.execute("gpu-verify", json!({"min_vram": "24G"})).await.unwrap();
    assert_eq!(failed(&outcome), "the largest GPU has 24564 MiB, 24576 MiB are wanted");
    let outcome = surtr.execute("gpu-verify", json!({"min_gpus": 2})).await.unwrap();
    assert!(failed(&outcome).contains("1 usable GPUs, 2 are wanted"), "{outcome:?}");
}

#[tokio::test]
async fn a_card_of_amd_is_read_from_sysfs() {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let device = "sys/class/drm/card0/device";
    put(&format!("{device}/vendor"), "0x1002\n");
    put(&format!("{device}/mem_info_vram_total"), "17163091968\n");
    put(&format!("{device}/mem_info_vram_used"), "1024\n");
    put(&format!("{device}/hwmon/hwmon0/temp1_input"), "48000\n");
    put("sys/bus/amdgpu/x", "");
    let driver = root.path().join(device).join("driver");
    std::os::unix::fs::symlink(root.path().join("sys/bus/amdgpu"), driver).unwrap();
    let ollama = StandIn::start();
    let surtr = Surtr { root: root.path().to_owned(), ..surtr_at(ollama.url.clone()) };
    let surtr = Harness::with(surtr).program("nvidia-smi", NO_CARDS).start().await;

    let outcome = surtr.execute("gpu-verify", json!({"min_vram": "15G"})).await.unwrap();

    let gpu = &completed(&outcome)["gpus"][0];
    assert_eq!((&gpu["vendor"], &gpu["driver"]), (&json!("amd"), &json!("amdgpu")));
    assert_eq!(gpu["temperature_celsius"], json!(48));
}

#[tokio::test]
async fn a_model_that_is_not_whole_in_vram_is_a_failure() {
    let (ollama, surtr) = with_program(ONE_CARD).await;

    let part = surtr.execute("gpu-verify", json!({"model": "tiny"})).await.unwrap();
    let enough = json!({"model": "tiny", "min_gpu_percent": 75});
    let enough = surtr.execute("gpu-verify", enough).await.unwrap();
    ollama.state().vram = vec![0];
    let none = surtr.execute("gpu-verify", json!({"model": "tiny"})).await.unwrap();
    let absent = surtr.execute("gpu-verify", json!({"model": "nope"})).await.unwrap();

    let text = "`tiny:latest` has 150 of its 200 bytes in VRAM (75 %), 100 % are wanted: unload";
    assert!(failed(&part).starts_with(text), "{part:?}");
    assert_eq!(part.data["model"]["size_vram"], json!(150));
    assert_eq!(completed(&enough)["model"]["gpu_percent"], json!(75));
    assert!(failed(&none).contains("it runs on the CPU; Ollama's log says why"), "{none:?}");
    assert!(failed(&absent).contains("there are: tiny:latest, other:7b"), "{absent:?}");
}

#[tokio::test]
async fn a_card_that_knows_nothing_of_the_model_is_no_proof() {
    let empty = "echo 'GPU-1c, 00000000:01:00.0, 560.35.03, 24564, 0, 3, 41, NVIDIA RTX 4090'";
    let (ollama, surtr) = with_program(empty).await;
    ollama.state().vram = vec![200];

    let outcome = surtr.execute("gpu-verify", json!({"model": "tiny"})).await.unwrap();

    let text = "has 200 bytes in VRAM, but 0 are in use on the cards here";
    assert!(failed(&outcome).contains(text), "{outcome:?}");
}

#[tokio::test]
async fn the_gate_loads_a_model_anew_until_it_is_on_the_card() {
    let (ollama, surtr) = with_program(ONE_CARD).await;
    // After a resume the first loads end on the CPU.
    ollama.state().vram = vec![0, 0, 200];

    let params = json!({"model": "tiny", "wait_seconds": 60, "interval_seconds": 1});
    let outcome = surtr.execute("gpu-verify", params).await.unwrap();

    let data = completed(&outcome);
    assert_eq!((&data["tries"], &data["model"]["size_vram"]), (&json!(3), &json!(200)));
    assert_eq!(outcome.output.matches("not yet: ").count(), 1, "{}", outcome.output);
}

#[tokio::test]
async fn the_gate_has_a_limit() {
    let (_ollama, surtr) = with_program(NO_CARDS).await;

    let params = json!({"wait_seconds": 1, "interval_seconds": 1});
    let outcome = surtr.execute("gpu-verify", params).await.unwrap();

    let error = failed(&outcome);
    assert!(error.contains("no GPU found"), "{error}");
    assert!(error.ends_with("(tried 2 times in 1 s)"), "{error}");
}

#[tokio::test]
async fn the_gate_can_be_cancelled() {
    let (_ollama, surtr) = with_program(NO_CARDS).await;

    let gate = surtr.execute_async("gpu-verify", json!({"wait_seconds": 600})).await.unwrap();
    surtr.log_contains(gate.attempt, "not yet: no GPU found").await;
    surtr.cancel(gate.attempt).await.unwrap();

    assert_eq!(surtr.outcome(gate.attempt).await.status, Ending::Cancelled);
}

#[tokio::test]
async fn the_real_ollama_that_computes_on_the_cpu_is_found_out() {
    let name = "the_real_ollama_that_computes_on_the_cpu_is_found_out";
    let Some(real) = Real::with_tiny(name).await else { return };
    let surtr = Harness::with(surtr_at(real.url.clone()));
    let surtr = surtr.program("nvidia-smi", ONE_CARD).start().await;

    let outcome = surtr.execute("gpu-verify", json!({"model": "tiny"})).await.unwrap();

    // Built by `go install`, it has no code for cards, whatever this machine has.
    assert!(failed(&outcome).contains("it runs on the CPU"), "{outcome:?}");
    assert_eq!(outcome.data["model"]["size_vram"], json!(0));
    assert!(outcome.data["model"]["size"].as_u64().unwrap() > 0, "{outcome:?}");
}

#[tokio::test]
async fn a_model_really_lies_in_the_memory_of_this_machines_card() {
    let name = "a_model_really_lies_in_the_memory_of_this_machines_card";
    let url = closed_url();
    let surtr = Harness::start(Surtr { root: PathBuf::from("/"), ..surtr_at(url) }).await;
    let cards = surtr.execute("gpu-verify", json!({})).await.unwrap();
    if cards.status != Ending::Completed {
        eprintln!("skipped: {name}: {}", cards.error.unwrap_or_default());
        return;
    }
    let card = &cards.data["gpus"][0];
    assert!(card["memory_total_bytes"].as_u64().unwrap() > 1 << 28, "{card}");
    assert!(card["temperature_celsius"].is_i64() || card["temperature_celsius"].is_u64(), "{card}");
    // The one of the script computes on the CPU only.
    let Some(ollama) = on_path() else {
        eprintln!("skipped: {name}: no `ollama` on PATH that computes on cards");
        return;
    };
    let real = Real::of(ollama).await;
    let surtr = Surtr { root: PathBuf::from("/"), ..surtr_at(real.url.clone()) };
    let surtr = Harness::start(surtr).await;

    let order = json!({"model": "tiny", "min_gpu_percent": 1});
    let outcome = surtr.execute("gpu-verify", order).await.unwrap();

    assert!(completed(&outcome)["model"]["size_vram"].as_u64().unwrap() > 0, "{outcome:?}");
}

fn closed_url() -> Url {
    format!("http://{}", closed()).parse().unwrap()
}

async fn with_program(nvidia_smi: &str) -> (StandIn, Harness) {
    let ollama = StandIn::start();
    ollama.state().loaded.clear();
    let surtr = Harness::with(surtr_at(ollama.url.clone()));
    (ollama, surtr.program("nvidia-smi", nvidia_smi).start().await)
}
