//! The form that an answer is to have.
//!
//! Ollama turns a JSON Schema into a grammar, but only those words of it that it knows, and a
//! limit of tokens cuts an answer in its middle. So the answer is checked here.

use executor_sdk::prelude::*;
use jsonschema::Validator;

/// How many places that do not fit the schema are told.
const TOLD: usize = 5;

/// JSON, or JSON of a schema.
#[derive(Debug)]
pub(crate) struct Format {
    asked: Value,
    schema: Option<Validator>,
}

impl Format {
    /// Reads the param `format`: `"json"`, or a JSON Schema.
    pub(crate) fn read(asked: Value) -> Result<Self, Failure> {
        let schema = match &asked {
            Value::String(word) if word == "json" => None,
            Value::Object(_) => {
                let schema = jsonschema::validator_for(&asked).map_err(|error| {
                    let at = error.instance_path().to_string();
                    Failure::new(format!("`format{at}` is no JSON Schema: {error}"))
                })?;
                Some(schema)
            }
            _ => return Err(Failure::new("`format` is neither `json` nor a JSON Schema")),
        };
        Ok(Self { asked, schema })
    }

    /// Returns it as Ollama takes it.
    pub(crate) fn asked(&self) -> &Value {
        &self.asked
    }

    /// Returns the JSON in an answer, or why it is not what was asked for.
    pub(crate) fn check(&self, answer: &str) -> Result<Value, String> {
        let value: Value = answer.trim().parse().map_err(|error| format!("no JSON: {error}"))?;
        let wrong: Vec<_> = self
            .schema
            .iter()
            .flat_map(|schema| schema.iter_errors(&value))
            .take(TOLD)
            .map(|error| match error.instance_path().to_string() {
                at if at.is_empty() => error.to_string(),
                at => format!("{at}: {error}"),
            })
            .collect();
        if wrong.is_empty() { Ok(value) } else { Err(wrong.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_checked_against_the_schema() {
        let schema = json!({
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
            "required": ["name", "age"],
        });
        let format = Format::read(schema).unwrap();

        assert_eq!(format.check(" {\"name\": \"x\", \"age\": 1}\n").unwrap()["age"], json!(1));
        for (answer, why) in [
            ("{\"name\": \"x\", \"age\": -1}", "/age: -1 is less than"),
            ("{\"name\": 1, \"age\": 1}", "/name: 1 is not of type"),
            ("{\"name\": \"x\"}", "\"age\" is a required property"),
            ("{\"name\": \"x", "no JSON"),
        ] {
            let error = format.check(answer).unwrap_err();
            assert!(error.contains(why), "{answer}: {error}");
        }
    }

    #[test]
    fn json_without_a_schema_is_any_json() {
        let format = Format::read(json!("json")).unwrap();

        assert_eq!(format.check("[1]"), Ok(json!([1])));
        assert!(format.check("Hello").is_err());
    }

    #[test]
    fn a_format_that_cannot_be_checked_is_refused_before_anybody_is_asked() {
        let elsewhere = json!({"$ref": "http://127.0.0.1:1/schema.json"});
        for format in [json!("xml"), json!(7), json!([]), json!({"type": "thing"}), elsewhere] {
            let error = Format::read(format.clone()).unwrap_err();
            assert!(error.error().contains("`format"), "{format}: {}", error.error());
        }
    }
}
