//! A model of our own: the smallest that a real Ollama loads. One block of 32 dimensions with
//! random weights, so that its words are noise, and 130 kB in the format GGUF, version 3.

/// Dimensions of an embedding, of the feed-forward layer, and how many tokens there are.
const WIDTH: u64 = 32;
const INNER: u64 = 64;
const TOKENS: u64 = 300;
const SPECIAL: u64 = 3;
const BYTES: u64 = 256;

/// How tensors are aligned.
const ALIGNMENT: usize = 32;

/// The types of values in the head of the file.
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Returns the whole file.
pub(crate) fn tiny() -> Vec<u8> {
    let mut head = Head::default();
    head.text("general.architecture", "llama");
    head.text("general.name", "tiny");
    for (key, value) in [
        ("context_length", 256),
        ("embedding_length", 32),
        ("block_count", 1),
        ("feed_forward_length", 64),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 4),
        ("rope.dimension_count", 8),
        ("vocab_size", 300),
    ] {
        head.number(&format!("llama.{key}"), value);
    }
    head.key("llama.attention.layer_norm_rms_epsilon", F32);
    head.bytes.extend(1e-5_f32.to_le_bytes());
    head.tokenizer();

    let tensors = tensors();
    let mut file = Vec::new();
    file.extend(b"GGUF");
    file.extend(3_u32.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend(head.keys.to_le_bytes());
    file.extend(head.bytes);
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        put_text(&mut file, &name);
        file.extend(u32::try_from(shape.len()).unwrap().to_le_bytes());
        // The format stores the fastest dimension first.
        shape.iter().rev().for_each(|size| file.extend(size.to_le_bytes()));
        file.extend(0_u32.to_le_bytes());
        file.extend((data.len() as u64).to_le_bytes());
        for value in values {
            data.extend(value.to_le_bytes());
        }
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
    }
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file.extend(data);
    file
}

/// The keys and values before the tensors.
#[derive(Default)]
struct Head {
    keys: u64,
    bytes: Vec<u8>,
}

impl Head {
    fn key(&mut self, key: &str, kind: u32) {
        self.keys += 1;
        put_text(&mut self.bytes, key);
        self.bytes.extend(kind.to_le_bytes());
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key, STRING);
        put_text(&mut self.bytes, value);
    }

    fn number(&mut self, key: &str, value: u32) {
        self.key(key, U32);
        self.bytes.extend(value.to_le_bytes());
    }

    fn list(&mut self, key: &str, kind: u32) {
        self.key(key, ARRAY);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(TOKENS.to_le_bytes());
    }

    /// Three special tokens, one for each byte, and some words.
    fn tokenizer(&mut self) {
        let mut tokens: Vec<(String, i32)> = [("<unk>", 2), ("<s>", 3), ("</s>", 3)]
            .map(|(text, kind)| (text.to_owned(), kind))
            .into();
        tokens.extend((0..BYTES).map(|byte| (format!("<0x{byte:02X}>"), 6)));
        let words = TOKENS - SPECIAL - BYTES;
        tokens.extend((0..words).map(|n| (format!("▁w{n}"), 1)));

        self.text("tokenizer.ggml.model", "llama");
        self.list("tokenizer.ggml.tokens", STRING);
        for (text, _) in &tokens {
            put_text(&mut self.bytes, text);
        }
        self.list("tokenizer.ggml.scores", F32);
        let mut score = 0.0_f32;
        for (_, kind) in &tokens {
            if *kind == 1 {
                score -= 1.0;
            }
            self.bytes.extend(score.to_le_bytes());
        }
        self.list("tokenizer.ggml.token_type", I32);
        for (_, kind) in &tokens {
            self.bytes.extend(kind.to_le_bytes());
        }
        self.number("tokenizer.ggml.bos_token_id", 1);
        self.number("tokenizer.ggml.eos_token_id", 2);
        self.number("tokenizer.ggml.unknown_token_id", 0);
    }
}

/// Returns each tensor's name, rows and columns, and values.
fn tensors() -> Vec<(String, Vec<u64>, Vec<f32>)> {
    let mut noise = Noise(0x5eed);
    let mut random = |name: &str, rows: u64, columns: u64| {
        let values: Vec<f32> = (0..rows * columns).map(|_| noise.next() * 0.05).collect();
        (format!("{name}.weight"), vec![rows, columns], values)
    };
    // Bytes that are no whole UTF-8 would be no text, so words are likelier than bytes.
    let mut output = random("output", TOKENS, WIDTH);
    let odd = usize::try_from((SPECIAL + BYTES) * WIDTH).unwrap();
    output.2[..odd].iter_mut().for_each(|value| *value *= 0.01);
    let ones = |name: &str| {
        (format!("{name}.weight"), vec![WIDTH], vec![1.0; usize::try_from(WIDTH).unwrap()])
    };
    vec![
        random("token_embd", TOKENS, WIDTH),
        ones("output_norm"),
        output,
        ones("blk.0.attn_norm"),
        random("blk.0.attn_q", WIDTH, WIDTH),
        random("blk.0.attn_k", WIDTH, WIDTH),
        random("blk.0.attn_v", WIDTH, WIDTH),
        random("blk.0.attn_output", WIDTH, WIDTH),
        ones("blk.0.ffn_norm"),
        random("blk.0.ffn_gate", INNER, WIDTH),
        random("blk.0.ffn_up", INNER, WIDTH),
        random("blk.0.ffn_down", WIDTH, INNER),
    ]
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Numbers that are nearly normal: the sum of twelve even ones, less six. Always the same.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        (0..12).map(|_| self.even()).sum::<f32>() - 6.0
    }

    fn even(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        f32::from(u16::try_from(self.0 >> 48).unwrap()) / 65536.0
    }
}

#[test]
fn the_model_is_small_and_the_same_each_time() {
    let file = tiny();

    assert_eq!(file, tiny());
    assert!((100_000..150_000).contains(&file.len()), "{}", file.len());
}
