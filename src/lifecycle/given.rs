//! Items that lie beside a model to try it with: `warm-up.npy` of a model with one input, `warm-up.INPUT.npy` for
//! each input of one with several.

use crate::codec::npy_tensor;
use crate::diagnostic::shown;
use crate::plan::{Port, Signature};
use crate::tensor::Tensor;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Items that are taken of a file, at most.
const MOST: usize = 8;

/// The items that the files hold: one where an array has the axes of an item, several where it has one axis more.
/// Empty where there are no files. `files` are by what stands between `warm-up.` and `npy`.
pub(super) fn items(
    signature: &Signature,
    files: &BTreeMap<String, Bytes>,
) -> Result<Vec<Vec<Tensor>>, String> {
    if files.is_empty() {
        return Ok(vec![]);
    }
    let columns = signature.inputs.iter().map(|port| {
        let name = file_name(&port.name);
        let only = files.get("").filter(|_| signature.inputs.len() == 1);
        let bytes = files.get(&name).or(only).ok_or_else(|| {
            format!(
                "no file `warm-up.{name}.npy` lies beside the model, for its input `{}`",
                shown(&port.name)
            )
        })?;
        column(port, bytes.clone()).map_err(|why| format!("the file of input `{}` {why}", shown(&port.name)))
    });
    let columns = columns.collect::<Result<Vec<Vec<Tensor>>, String>>()?;
    let count = columns.iter().map(Vec::len).max().unwrap_or(0).min(MOST);
    if let Some(other) = columns.iter().map(Vec::len).find(|len| *len != 1 && *len < count) {
        return Err(format!("the files hold {other} and {count} items"));
    }
    // A file of one item goes with each of the others'.
    let item = |index: usize| columns.iter().map(|all| all[index.min(all.len() - 1)].clone()).collect();
    Ok((0..count).map(item).collect())
}

/// The name of an input in a file's name: what may not stand there is an underscore.
fn file_name(input: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    input.chars().map(plain).collect()
}

/// The items of one input; at least one.
fn column(port: &Port, bytes: Bytes) -> Result<Vec<Tensor>, String> {
    let array = npy_tensor(bytes).map_err(|error| format!("cannot be read: {error}"))?;
    let ty = port.item_type();
    if ty.dtype != Some(array.dtype()) {
        return Err(format!("holds {}, where {ty} is wanted", array.dtype()));
    }
    let Some(rank) = ty.dims.as_ref().map(Vec::len) else { return Ok(vec![array]) };
    match array.shape() {
        [0, rest @ ..] if rest.len() == rank => Err("holds no items".to_owned()),
        [rows, rest @ ..] if rest.len() == rank => Ok((0..*rows).filter_map(|row| array.row(row)).collect()),
        shape if shape.len() == rank => Ok(vec![array]),
        shape => Err(format!("has the shape {shape:?}, where {ty} is wanted, or several of it")),
    }
}

/// Another item of the same shapes, with half the numbers where they are fractions, else with the elements turned
/// round.
pub(super) fn another(item: &[Tensor]) -> Option<Vec<Tensor>> {
    let one = |tensor: &Tensor| {
        let shape = tensor.shape().to_vec();
        if let Some(numbers) = tensor.elements::<f32>() {
            return Tensor::from_vec(shape, numbers.iter().map(|x| x / 2.0).collect()).ok();
        }
        let Some(size) = tensor.dtype().bits().map(|_| tensor.dtype().size()) else {
            let texts = tensor.strings()?.iter().rev().cloned().collect();
            return Tensor::from_strings(shape, texts).ok();
        };
        let turned: Vec<u8> = tensor.bytes().rchunks(size).flatten().copied().collect();
        Tensor::from_bytes(tensor.dtype(), shape, turned.into()).ok()
    };
    item.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::npy::Header;
    use crate::plan::Dim;
    use crate::tensor::DType;

    fn npy(shape: &[usize], numbers: &[f32]) -> Bytes {
        let mut file = Header::write(DType::F32, shape);
        file.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
        file.into()
    }

    fn signature(names: &[&str]) -> Signature {
        let dims = || Some(vec![Dim::Named("N".into()), Dim::Fixed(2)]);
        let ports =
            |names: &[&str]| names.iter().map(|name| Port::tensor(*name, DType::F32, dims())).collect();
        Signature::new(ports(names), ports(&["y"]))
    }

    fn files(all: &[(&str, Bytes)]) -> BTreeMap<String, Bytes> {
        all.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect()
    }

    #[test]
    fn an_array_is_an_item_or_several() {
        let one = items(&signature(&["x"]), &files(&[("", npy(&[2], &[1.0, 2.0]))])).unwrap();
        assert_eq!((one.len(), one[0][0].shape()), (1, &[2][..]));
        let two = npy(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let both = files(&[("a_b", two), ("c", npy(&[2], &[5.0, 6.0]))]);
        let items = items(&signature(&["a/b", "c"]), &both).unwrap();
        let numbers: Vec<Vec<f64>> = items.iter().map(|item| item[0].to_f64()).collect();
        assert_eq!(numbers, [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(items[1][1].to_f64(), [5.0, 6.0]);
        assert_eq!(another(&items[1]).unwrap()[0].to_f64(), [1.5, 2.0]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        #[rustfmt::skip]
        let table = [
            (&["x"][..], files(&[("", npy(&[3], &[1.0, 2.0, 3.0]))]), None),
            (&["x"], files(&[("", npy(&[], &[1.0]))]), Some("has the shape []")),
            (&["x"], files(&[("", Bytes::from_static(b"text"))]), Some("cannot be read")),
            (&["x", "z"], files(&[("x", npy(&[2], &[1.0, 2.0]))]), Some("no file `warm-up.z.npy`")),
        ];
        for (names, files, wanted) in table {
            match (items(&signature(names), &files), wanted) {
                // Whether lengths fit, the model says.
                (Ok(_), None) => {}
                (Err(why), Some(wanted)) => assert!(why.contains(wanted), "{why}"),
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}
