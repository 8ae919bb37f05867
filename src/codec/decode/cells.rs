//! Text to JSON: the cells of tables and the fields of forms, as people and programs write them.
//!
//! A cell of a string decode is its text, untouched. Numbers are read as pandas reads them: with its words
//! for what is missing, which is `null` (for floats alone), and with `True` and `False`.

use crate::tensor::DType;

/// What pandas takes for a missing value where it is not told otherwise (`na_values`), and what MySQL and PostgreSQL write
/// for one.
const MISSING: &[&str] = &[
    "\\N", "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// Writes a cell as one element of JSON. The error says what the cell is, without saying which.
pub fn element(dtype: DType, cell: &str, out: &mut String) -> Result<(), String> {
    if dtype == DType::String {
        out.push_str(&serde_json::Value::from(cell).to_string());
        return Ok(());
    }
    let cell = cell.trim();
    if MISSING.contains(&cell) {
        if dtype.is_float() {
            out.push_str("null");
            return Ok(());
        }
        let shown = if cell.is_empty() { "an empty text".to_owned() } else { format!("`{cell}`") };
        return Err(format!("{shown} is a value that is missing, which {dtype} does not have; floats do"));
    }
    match (dtype, truth(dtype, cell)) {
        (DType::Bool, Some(truth)) => out.push_str(if truth { "true" } else { "false" }),
        (_, Some(truth)) => out.push(if truth { '1' } else { '0' }),
        (_, None) => out.push_str(&number(dtype, cell)?),
    }
    Ok(())
}

/// Whether a cell is read as a number, or as one that is missing, where one is wanted.
pub fn is_number(cell: &str) -> bool {
    element(DType::F64, cell, &mut String::new()).is_ok()
}

/// PostgreSQL writes booleans as a letter, which elsewhere is none.
fn truth(dtype: DType, cell: &str) -> Option<bool> {
    match cell {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        "t" if dtype == DType::Bool => Some(true),
        "f" if dtype == DType::Bool => Some(false),
        _ => None,
    }
}

/// A number as JSON has them.
fn number(dtype: DType, cell: &str) -> Result<String, String> {
    if serde_json::from_str::<serde_json::Number>(cell).is_ok() {
        return Ok(cell.to_owned());
    }
    // "+1", "007", ".5" and "1." are numbers to a table, not to JSON.
    if let Ok(integer) = cell.parse::<i128>() {
        return Ok(integer.to_string());
    }
    match cell.parse::<f64>() {
        Ok(number) if number.is_finite() => return Ok(number.to_string()),
        Ok(number) if dtype.is_float() && !cell.bytes().any(|b| b.is_ascii_digit()) => {
            return Ok(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }.to_owned());
        }
        _ => {}
    }
    let shown: String = cell.chars().take(64).collect();
    let wanted = if dtype == DType::Bool { "true or false" } else { "a number" };
    let hint = match cell.split_once(',') {
        Some((whole, part)) if [whole, part].iter().all(|p| p.parse::<f64>().is_ok()) => {
            format!("; a decimal comma is to be a point, `{whole}.{part}`")
        }
        _ => String::new(),
    };
    Err(format!("`{shown}` is not {wanted}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(dtype: DType, cell: &str) -> Result<String, String> {
        let mut out = String::new();
        element(dtype, cell, &mut out).map(|()| out)
    }

    #[test]
    fn text_is_untouched() {
        for cell in ["1e5", "42", "true", "null", "[1]", "", " a ", "NaN"] {
            assert_eq!(json(DType::String, cell), Ok(format!("\"{cell}\"")));
        }
        assert_eq!(json(DType::String, "\"q\""), Ok(r#""\"q\"""#.into()));
    }

    #[test]
    fn what_is_missing_is_null_among_floats_alone() {
        for cell in MISSING {
            assert_eq!(json(DType::F32, &format!(" {cell} ")), Ok("null".into()));
            assert!(json(DType::I64, cell).unwrap_err().contains("int64 does not have"), "{cell}");
            assert!(json(DType::Bool, cell).is_err(), "{cell}");
        }
    }

    #[test]
    fn numbers_are_as_tables_have_them() {
        for (cell, wanted) in [
            ("1", "1"),
            (" -2.5e3 ", "-2.5e3"),
            ("+1", "1"),
            (".5", "0.5"),
            ("2.", "2"),
            ("007", "7"),
            ("+9007199254740993", "9007199254740993"),
            ("True", "1"),
            ("FALSE", "0"),
            ("inf", "\"Infinity\""),
            ("-Infinity", "\"-Infinity\""),
        ] {
            assert_eq!(json(DType::F64, cell), Ok(wanted.into()), "{cell}");
        }
        for cell in ["two", "1,5", "1 000", "0x10", "1e999", "--1", "1_000"] {
            assert!(json(DType::F64, cell).unwrap_err().starts_with(&format!("`{cell}` is not a number")));
        }
        assert!(json(DType::F64, "1,5").unwrap_err().ends_with("a decimal comma is to be a point, `1.5`"));
        assert!(json(DType::I64, "inf").is_err());
    }

    #[test]
    fn truths_are_words_or_digits() {
        for (cell, wanted) in
            [("True", "true"), ("false", "false"), ("TRUE", "true"), ("1", "1"), ("0.0", "0.0")]
        {
            assert_eq!(json(DType::Bool, cell), Ok(wanted.into()));
        }
        assert_eq!((json(DType::Bool, "t"), json(DType::Bool, "f")), (Ok("true".into()), Ok("false".into())));
        assert!(json(DType::F32, "t").is_err());
        assert_eq!(json(DType::Bool, "yes"), Err("`yes` is not true or false".into()));
    }
}
