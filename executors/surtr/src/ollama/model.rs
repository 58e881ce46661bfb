//! Names of models, and what Ollama tells of those it has.

use std::fmt;

use executor_sdk::prelude::*;

/// The longest name that is taken; Ollama's own limit is below it.
const LONGEST: usize = 400;

/// A name that Ollama may know: `llama3.2`, `qwen3:8b`, `hf.co/owner/name:Q4_K_M`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(inline)]
pub(crate) struct ModelName(String);

impl TryFrom<String> for ModelName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-:/@".contains(c);
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let has_steps_back = text.split('/').any(|part| part == "." || part == "..");
        // A registry may be named with its scheme, `http://host:port/name`.
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        let is_web = scheme.is_none_or(|scheme| matches!(scheme.as_str(), "http" | "https"));
        let is_text = text.len() <= LONGEST && text.chars().all(is_fit);
        if !begins_well || has_steps_back || !is_web || !is_text {
            return Err("no name of a model; write it as `llama3.2` or `qwen3:8b`".to_owned());
        }
        Ok(Self(text))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ModelName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether Ollama's name means this model: `tiny` is `tiny:latest`.
    pub(crate) fn is(&self, name: &str) -> bool {
        whole(&self.0) == whole(name)
    }
}

/// Returns the name with what Ollama adds to a short one, in lower case: it does not tell case.
fn whole(name: &str) -> String {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    let name = name.strip_prefix("registry.ollama.ai/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name).to_ascii_lowercase();
    let last = name.rsplit('/').next().unwrap_or(&name);
    if last.contains(':') { name } else { format!("{name}:latest") }
}

/// A model on the disk, as `/api/tags` tells it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Model {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) digest: String,
    #[serde(default)]
    pub(crate) modified_at: Option<String>,
    #[serde(default)]
    pub(crate) details: Details,
}

/// What a model is made of.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Details {
    #[serde(default)]
    pub(crate) family: Option<String>,
    #[serde(default)]
    pub(crate) parameter_size: Option<String>,
    #[serde(default)]
    pub(crate) quantization_level: Option<String>,
}

/// Finds a model by a name that may be a short one.
pub(crate) fn find<'m>(models: &'m [Model], name: &ModelName) -> Option<&'m Model> {
    models.iter().find(|model| name.is(&model.name))
}

/// A model in memory, as `/api/ps` tells it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) size_vram: u64,
    #[serde(default)]
    pub(crate) expires_at: Option<String>,
    #[serde(default)]
    pub(crate) context_length: Option<u64>,
}

impl Loaded {
    /// Returns how much of it is in the memory of a GPU, rounded down: 100 is all of it.
    pub(crate) fn gpu_percent(&self) -> u64 {
        u64::try_from(u128::from(self.size_vram) * 100 / u128::from(self.size.max(1)))
            .unwrap_or(100)
    }

    pub(crate) fn data(&self) -> Value {
        json!({
            "name": self.name,
            "size": self.size,
            "size_vram": self.size_vram,
            "gpu_percent": self.gpu_percent(),
            "expires_at": self.expires_at,
            "context_length": self.context_length,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<ModelName, String> {
        ModelName::try_from(text.to_owned())
    }

    #[test]
    fn a_short_name_means_the_latest_of_the_library() {
        for (short, long) in [
            ("tiny", "tiny:latest"),
            ("Tiny:Latest", "tiny:latest"),
            ("library/tiny", "tiny:latest"),
            ("registry.ollama.ai/library/tiny:7b", "tiny:7b"),
            ("http://host:5000/a/tiny", "host:5000/a/tiny:latest"),
        ] {
            assert!(name(short).unwrap().is(long), "{short} {long}");
        }
        assert!(!name("tiny:7b").unwrap().is("tiny:latest"));
        assert!(!name("host:5000/tiny").unwrap().is("host:5000"));
    }

    #[test]
    fn what_no_model_is_called_is_refused() {
        let too_long = "a".repeat(LONGEST + 1);
        let hostile = ["", " ", "-tiny", "--help", "/etc", "../x", "a/../b", "a b", "a\nb", "a\0b"];
        let more = ["$(x)", "a;b", "a'b", "ä", "file:///etc/passwd", "x://a/b", &too_long];
        for text in hostile.into_iter().chain(more) {
            assert!(name(text).is_err(), "{text}");
        }
        for text in ["llama3.2", "qwen3:8b", "hf.co/owner/Name-GGUF:Q4_K_M", "_x"] {
            assert!(name(text).is_ok(), "{text}");
        }
    }
}
