//! Operations on numbers against the values of ONNX Runtime and NumPy, and what they refuse.

use super::*;
use crate::diagnostic::{Report, SourceText, render};
use crate::spec::document::{Reader, Value, parse};
use crate::tensor::DType;
use proptest::prelude::*;

/// Steps of all kinds, with how many sources each reads.
const STEPS: [(&str, usize); 33] = [
    ("op = \"softmax\"", 1),
    ("op = \"softmax\", axis = 0", 1),
    ("op = \"sigmoid\"", 1),
    ("op = \"threshold\", above = 0.5", 1),
    ("op = \"threshold\", above = -1, dtype = \"int16\"", 1),
    ("op = \"argmax\"", 1),
    ("op = \"argmax\", axis = -1, keep = true", 1),
    ("op = \"top\", top = 2", 1),
    ("op = \"top\", top = 3, axis = 0", 1),
    ("op = \"norm\"", 1),
    ("op = \"scale\", factor = -2.5", 1),
    ("op = \"cast\", dtype = \"uint8\"", 1),
    ("op = \"cast\", dtype = \"float16\"", 1),
    ("op = \"permute\", axes = [1, 0]", 1),
    ("op = \"permute\", axes = [0, 2, 1]", 1),
    ("op = \"reshape\", shape = [-1]", 1),
    ("op = \"reshape\", shape = [0, -1, 2]", 1),
    ("op = \"concat\"", 2),
    ("op = \"concat\", axis = -1", 3),
    ("op = \"slice\", start = 1", 1),
    ("op = \"slice\", axis = 1, start = -1, end = -9, step = -2", 1),
    ("op = \"resize\", size = [3, 2]", 1),
    ("op = \"resize\", size = [2, 5], mode = \"nearest\"", 1),
    ("op = \"mean\"", 1),
    ("op = \"max\", axis = 0", 1),
    ("op = \"min\", axis = [0, -1], keep = true", 1),
    ("op = \"sum\", axis = -1", 1),
    ("op = \"mean\", weights = [1, 2]", 2),
    ("op = \"sum\"", 3),
    ("op = \"max\"", 2),
    ("op = \"vote\"", 1),
    ("op = \"vote\", axis = 0", 1),
    ("op = \"vote\", weights = [1, 2, 1]", 3),
];

/// The operation that a step writes, for so many sources.
fn operation(step: &str, sources: usize) -> Option<Box<dyn Compute>> {
    let source = SourceText::new("p.toml", format!("s = {{ {step} }}"));
    let mut report = Report::default();
    let (name, value) = parse(&source, &mut report).value.entries.into_iter().next()?;
    let Value::Table(table) = &value.value else { return None };
    let mut reader = Reader::new("step `s`", table, &name.place);
    let op = reader.string("op", &mut report)?.value;
    let report = &mut report;
    fn boxed<C: Compute + 'static>(compute: Option<C>) -> Option<Box<dyn Compute>> {
        compute.map(|compute| Box::new(compute) as Box<dyn Compute>)
    }
    let fold = |fold, reader: &mut Reader<'_>, report: &mut Report| match sources {
        1 => boxed(Reduce::read(fold, reader, report)),
        several => boxed(Across::read(fold, several, reader, report)),
    };
    let compute = match op.as_str() {
        "softmax" => boxed(Softmax::read(&mut reader, report)),
        "sigmoid" => boxed(Sigmoid::read(&mut reader, report)),
        "threshold" => boxed(Threshold::read(&mut reader, report)),
        "argmax" => boxed(ArgMax::read(&mut reader, report)),
        "top" => boxed(Top::read(&mut reader, report)),
        "norm" => boxed(Norm::read(&mut reader, report)),
        "scale" => boxed(Scale::read(&mut reader, report)),
        "cast" => boxed(Cast::read(&mut reader, report)),
        "permute" => boxed(Permute::read(&mut reader, report)),
        "reshape" => boxed(Reshape::read(&mut reader, report)),
        "concat" => boxed(Concat::read(&mut reader, report)),
        "slice" => boxed(Slice::read(&mut reader, report)),
        "resize" => boxed(Resize::read(&mut reader, report)),
        "mean" => fold(Fold::Mean, &mut reader, report),
        "max" => fold(Fold::Max, &mut reader, report),
        "min" => fold(Fold::Min, &mut reader, report),
        "sum" => fold(Fold::Sum, &mut reader, report),
        "vote" if sources == 1 => boxed(Majority::read(&mut reader, report)),
        "vote" => boxed(Vote::read(sources, &mut reader, report)),
        other => panic!("no operation {other}"),
    };
    reader.finish(report);
    assert!(!report.has_errors(), "{}", render(report, false));
    compute
}

fn op(step: &str, sources: usize) -> Box<dyn Compute> {
    operation(step, sources).unwrap_or_else(|| panic!("{step}"))
}

fn tensor(described: &serde_json::Value) -> Tensor {
    let dtype = DType::from_name(described["dtype"].as_str().unwrap()).unwrap();
    let shape: Vec<usize> = serde_json::from_value(described["shape"].clone()).unwrap();
    let data = described["data"].as_array().unwrap();
    if dtype == DType::String {
        return Tensor::from_strings(shape, data.iter().map(|x| x.as_str().unwrap().into()).collect())
            .unwrap();
    }
    element::for_element!(dtype, T => {
        let number = |x: &serde_json::Value| match (x.as_i64(), x.as_str()) {
            (Some(whole), _) => <T as element::Number>::of_integer(whole.into()),
            (None, Some(special)) => <T as element::Number>::of_float(special.parse().unwrap()),
            (None, None) => <T as element::Number>::of_float(x.as_f64().unwrap()),
        };
        element::tensor(dtype, shape, data.iter().map(number).collect::<Vec<T>>()).unwrap()
    })
}

fn close(given: &Tensor, wanted: &Tensor) -> bool {
    if given.dtype() != wanted.dtype() || given.shape() != wanted.shape() {
        return false;
    }
    // What is computed in float64 is off by one rounding at most; ONNX Runtime computes in float32.
    let tolerance = match given.dtype() {
        DType::F32 => 2e-6,
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        _ => {
            return given.bytes() == wanted.bytes() && given.strings() == wanted.strings()
                || given.dtype() == DType::F64 && near(given, wanted, 1e-12);
        }
    };
    near(given, wanted, tolerance)
}

fn near(given: &Tensor, wanted: &Tensor, tolerance: f64) -> bool {
    given
        .to_f64()
        .iter()
        .zip(wanted.to_f64())
        .all(|(x, y)| x.is_nan() && y.is_nan() || *x == y || (x - y).abs() <= tolerance * (1.0 + y.abs()))
}

fn type_of(tensor: &Tensor) -> TensorType {
    TensorType { dtype: Some(tensor.dtype()), dims: Some(tensor.shape().iter().copied().map(Some).collect()) }
}

#[test]
fn operations_give_what_onnx_runtime_and_numpy_give() {
    let cases = include_str!("../../../tests/fixtures/steps/numbers.jsonl");
    let mut wrong = vec![];
    for line in cases.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let step = case["step"].as_str().unwrap();
        let all = |key: &str| case[key].as_array().unwrap().iter().map(tensor).collect::<Vec<_>>();
        let (inputs, outputs) = (all("inputs"), all("outputs"));
        let op = op(step, inputs.len());
        let given = match op.run(&inputs) {
            Ok(given) => given,
            Err(error) => {
                wrong.push(format!("{step} of {inputs:?}: {error}"));
                continue;
            }
        };
        if given.len() != outputs.len()
            || given.iter().zip(&outputs).any(|(given, wanted)| !close(given, wanted))
        {
            let shown =
                |all: &[Tensor]| all.iter().map(|x| format!("{x:?} {:?}", x.to_f64())).collect::<Vec<_>>();
            wrong.push(format!(
                "{step} of {:?}\n  gives {:?}\n  where {:?}",
                shown(&inputs),
                shown(&given),
                shown(&outputs)
            ));
        }
        // The types that were foreseen: with all that is known, with open axes, with nothing known.
        let known: Vec<TensorType> = inputs.iter().map(type_of).collect();
        let open: Vec<TensorType> = known
            .iter()
            .map(|ty| TensorType { dims: ty.dims.as_ref().map(|dims| vec![None; dims.len()]), ..*ty })
            .collect();
        let nothing = vec![TensorType::default(); inputs.len()];
        for (types, exact) in [(known, true), (open, false), (nothing, false)] {
            match op.infer(&types) {
                Err(misfit) => wrong.push(format!("{step} of {types:?}: {misfit:?}")),
                Ok(foreseen) => {
                    let made: Vec<TensorType> = given.iter().map(type_of).collect();
                    let fits = foreseen.len() == made.len()
                        && foreseen.iter().zip(&made).all(|(ty, made)| made.mismatch(ty).is_none());
                    if !fits || exact && foreseen != made {
                        wrong.push(format!(
                            "{step} of {types:?} is {made:?}, and was foreseen as {foreseen:?}"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn of(dtype: DType, dims: &[Option<usize>]) -> TensorType {
    TensorType { dtype: Some(dtype), dims: Some(dims.to_vec()) }
}

/// Tensors of the same dtype, each of any small shape or of that of the first.
fn tensors() -> impl Strategy<Value = Vec<Tensor>> {
    let shape = || prop::collection::vec(0usize..4, 0..4);
    let dtypes: Vec<DType> = DType::NUMBERS.into_iter().chain([DType::String]).collect();
    let alike =
        (prop::sample::select(dtypes), prop::collection::vec(shape(), 3), any::<bool>(), any::<u64>());
    alike.prop_map(|(dtype, shapes, alike, seed)| {
        let shape = |at: usize| if alike { shapes[0].clone() } else { shapes[at].clone() };
        (0..3).map(|at| filled(dtype, shape(at), seed.rotate_left(at as u32 * 7))).collect()
    })
}

fn filled(dtype: DType, shape: Vec<usize>, mut seed: u64) -> Tensor {
    let count: usize = shape.iter().product();
    let mut next = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        [0.0, 1.0, -1.5, 2.0, 300.0, f64::NAN, f64::INFINITY, -1e30][(seed >> 61) as usize]
    };
    if dtype == DType::String {
        return Tensor::from_strings(shape, (0..count).map(|_| next().to_string().into()).collect()).unwrap();
    }
    let bool_or = |x: f64| if dtype == DType::Bool { f64::from(u8::from(x > 0.0)) } else { x };
    element::of_floats(dtype, shape, (0..count).map(|_| bool_or(next()))).unwrap()
}

proptest! {
    #[test]
    fn what_is_made_is_of_the_types_that_were_foreseen(given in tensors()) {
        for (step, sources) in STEPS {
            let op = op(step, sources);
            let given = &given[..sources];
            let types: Vec<TensorType> = given.iter().map(type_of).collect();
            match (op.infer(&types), op.run(given)) {
                (Ok(foreseen), Ok(made)) => {
                    let made: Vec<TensorType> = made.iter().map(type_of).collect();
                    prop_assert_eq!(foreseen, made, "{} of {:?}", step, given);
                }
                // The values may be at fault, and lengths of 0 where something is wanted.
                (Ok(_), Err(_)) | (Err(_), Err(_)) => {}
                (Err(misfit), Ok(made)) => prop_assert!(false, "{step} of {given:?}: {misfit:?}, {made:?}"),
            }
        }
    }
}

#[test]
fn very_long_axes_without_elements_take_no_time() {
    let long = Tensor::from_vec(vec![1 << 36, 0, 1], Vec::<f32>::new()).unwrap();
    let began = std::time::Instant::now();
    for (step, sources) in STEPS {
        let _ = op(step, sources).run(&vec![long.clone(); sources]);
    }
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn types_that_do_not_fit_are_refused_in_words() {
    let f = |dims: &[usize]| of(DType::F32, &dims.iter().copied().map(Some).collect::<Vec<_>>());
    let int = of(DType::I64, &[Some(3)]);
    let text = of(DType::String, &[Some(3)]);
    let mut said = String::new();
    for (step, types) in [
        ("op = \"softmax\"", vec![int.clone()]),
        ("op = \"softmax\"", vec![text.clone()]),
        ("op = \"softmax\", axis = 2", vec![f(&[3, 4])]),
        ("op = \"softmax\"", vec![f(&[])]),
        ("op = \"scale\", factor = 2", vec![text.clone()]),
        ("op = \"argmax\"", vec![f(&[0, 3])]),
        ("op = \"top\", top = 2, axis = -3", vec![f(&[3, 4])]),
        ("op = \"permute\", axes = [1, 0]", vec![f(&[3, 4, 5])]),
        ("op = \"reshape\", shape = [5, -1]", vec![f(&[3, 4])]),
        ("op = \"reshape\", shape = [5]", vec![f(&[3, 4])]),
        ("op = \"reshape\", shape = [1, 1, 0]", vec![f(&[3, 4])]),
        ("op = \"reshape\", shape = [-1, 0]", vec![f(&[3, 0])]),
        ("op = \"concat\"", vec![f(&[3, 4]), f(&[3, 5])]),
        ("op = \"concat\"", vec![f(&[3]), int.clone()]),
        ("op = \"concat\", axis = 1", vec![f(&[3]), f(&[3])]),
        ("op = \"resize\", size = 4", vec![f(&[3])]),
        ("op = \"resize\", size = 4", vec![of(DType::U8, &[None, None])]),
        ("op = \"resize\", size = 65536", vec![f(&[3, 4])]),
        ("op = \"mean\"", vec![text.clone()]),
        ("op = \"mean\", axis = [0, -2]", vec![f(&[3, 4])]),
        ("op = \"mean\"", vec![f(&[3]), f(&[4])]),
        ("op = \"vote\"", vec![f(&[3]), f(&[3])]),
    ] {
        let Misfit { source, why, help } = op(step, types.len()).infer(&types).unwrap_err();
        let shown: Vec<String> = types.iter().map(TensorType::to_string).collect();
        said += &format!("{step} of {}\n    source {source}: {why}\n", shown.join(" and "));
        help.into_iter().for_each(|help| said += &format!("    help: {help}\n"));
    }
    insta::assert_snapshot!(said);
}

#[test]
fn tensors_that_were_not_foreseen_are_refused() {
    let f = |shape: &[usize]| Tensor::from_vec(shape.to_vec(), vec![0.5f32; shape.iter().product()]).unwrap();
    let text = Tensor::from_strings(vec![1], vec!["a".into()]).unwrap();
    for (step, inputs) in [
        ("op = \"softmax\", axis = 1", vec![f(&[3])]),
        ("op = \"softmax\"", vec![text.clone()]),
        ("op = \"sigmoid\"", vec![text.clone()]),
        ("op = \"scale\", factor = 2", vec![text.clone()]),
        ("op = \"threshold\", above = 2", vec![text.clone()]),
        ("op = \"argmax\"", vec![f(&[])]),
        ("op = \"argmax\"", vec![f(&[0])]),
        ("op = \"argmax\"", vec![text.clone()]),
        ("op = \"top\", top = 1", vec![text.clone()]),
        ("op = \"cast\", dtype = \"float32\"", vec![text.clone()]),
        ("op = \"permute\", axes = [1, 0]", vec![f(&[3])]),
        ("op = \"reshape\", shape = [2, -1]", vec![f(&[3])]),
        ("op = \"reshape\", shape = [-1, 0]", vec![f(&[3, 0])]),
        ("op = \"concat\"", vec![f(&[]), f(&[])]),
        ("op = \"concat\"", vec![f(&[2, 2]), f(&[2, 3])]),
        ("op = \"concat\"", vec![f(&[2, 2]), f(&[2])]),
        ("op = \"slice\", axis = 1", vec![f(&[3])]),
        ("op = \"resize\", size = 4", vec![f(&[3])]),
        ("op = \"resize\", size = 4", vec![f(&[0, 3])]),
        ("op = \"resize\", size = 65536", vec![f(&[1, 1])]),
        ("op = \"max\"", vec![f(&[0])]),
        ("op = \"max\", axis = 1", vec![f(&[3])]),
        ("op = \"mean\"", vec![f(&[2]), f(&[3])]),
        ("op = \"vote\"", vec![f(&[2])]),
        ("op = \"vote\"", vec![Tensor::from_vec(vec![0], Vec::<i64>::new()).unwrap()]),
    ] {
        assert!(op(step, inputs.len()).run(&inputs).is_err(), "{step} of {inputs:?}");
    }
    // Nothing to resize, of no planes, is no mistake.
    assert_eq!(op("op = \"resize\", size = 4", 1).run(&[f(&[0, 3, 3])]).unwrap()[0].shape(), [0, 4, 4]);
}

#[test]
fn what_a_type_does_not_hold_is_refused() {
    let cast = |x: Tensor, dtype: &str| {
        op(&format!("op = \"cast\", dtype = \"{dtype}\""), 1).run(&[x]).map(|made| made[0].to_f64())
    };
    let one = |x: f64| Tensor::from_vec(vec![1], vec![x]).unwrap();
    assert_eq!(cast(one(255.9), "uint8"), Ok(vec![255.0]));
    assert_eq!(cast(one(256.0), "uint8"), Err("256 is no uint8".into()));
    assert_eq!(cast(one(-1.0), "uint64"), Err("-1 is no uint64".into()));
    assert_eq!(cast(one(-0.9), "uint64"), Ok(vec![0.0]));
    assert_eq!(cast(one(f64::NAN), "int32"), Err("NaN is no int32".into()));
    assert_eq!(cast(one(f64::INFINITY), "int64"), Err("inf is no int64".into()));
    assert_eq!(cast(one(1e300), "int64"), Err(format!("{} is no int64", 1e300)));
    let large = Tensor::from_vec(vec![1], vec![u64::MAX]).unwrap();
    assert_eq!(cast(large, "int64"), Err("18446744073709551615 is no int64".into()));
    let sum = op("op = \"sum\"", 1).run(&[Tensor::from_vec(vec![2], vec![i64::MAX, 1]).unwrap()]);
    assert_eq!(sum.unwrap_err(), "a sum of 9223372036854775808 is no int64");
}

fn reader(scores: Scores, blank: i64) -> Ctc {
    Ctc { blank, scores }
}

fn lines(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

/// Probabilities of 0.7 for the classes of a path, and the rest shared by the others.
fn path(classes: usize, path: &[usize]) -> Tensor {
    let rest = 0.3 / (classes - 1) as f32;
    let step = |best: &usize| {
        (0..classes).map(|class| if class == *best { 0.7 } else { rest }).collect::<Vec<f32>>()
    };
    Tensor::from_vec(vec![path.len(), classes], path.iter().flat_map(step).collect()).unwrap()
}

#[test]
fn a_text_is_read_by_its_best_path() {
    let ctc = reader(Scores::Probabilities, 0);
    let read = |steps: &[usize]| ctc.decode(&path(4, steps), &lines("abc")).unwrap();
    assert_eq!(read(&[0, 1, 1, 0, 1, 2, 2, 3, 0]).text, "aabc");
    assert!((read(&[1, 1, 2]).score - 0.7).abs() < 1e-6);
    assert_eq!(read(&[0, 0]), Decoded { text: String::new(), score: 0.0 });
    assert_eq!(read(&[]), Decoded { text: String::new(), score: 0.0 });
    // With a line for the blank, and with the blank elsewhere.
    assert_eq!(ctc.decode(&path(4, &[1, 0, 3]), &lines("-abc")).unwrap().text, "ac");
    assert_eq!(
        reader(Scores::Probabilities, -1).decode(&path(4, &[0, 3, 0, 2]), &lines("abc")).unwrap().text,
        "aac"
    );
    assert_eq!(
        reader(Scores::Probabilities, 1).decode(&path(4, &[0, 1, 2, 3]), &lines("abc")).unwrap().text,
        "abc"
    );
}

#[test]
fn a_score_is_the_same_of_logits_their_logarithms_and_probabilities() {
    let probabilities = path(4, &[1, 1, 0, 2]);
    let map = |f: &dyn Fn(f64) -> f64| {
        Tensor::from_vec(vec![4, 4], probabilities.to_f64().into_iter().map(|p| f(p) as f32).collect())
            .unwrap()
    };
    let [logarithms, logits] = [map(&f64::ln), map(&|p| p.ln() + 7.5)];
    let score = |scores, tensor: &Tensor| reader(scores, 0).decode(tensor, &lines("abc")).unwrap();
    let wanted = score(Scores::Probabilities, &probabilities);
    assert_eq!(wanted.text, "ab");
    for given in [score(Scores::Logits, &logarithms), score(Scores::Logits, &logits)] {
        assert_eq!(given.text, wanted.text);
        assert!((given.score - wanted.score).abs() < 1e-5, "{given:?} {wanted:?}");
    }
}

#[test]
fn an_alphabet_that_does_not_fit_is_refused() {
    let ctc = reader(Scores::Logits, 0);
    let ty = |dims: &[Option<usize>]| [of(DType::F32, dims)];
    assert_eq!(ctc.infer(&ty(&[None, Some(4)]), 3).unwrap(), [of(DType::String, &[]), of(DType::F32, &[])]);
    assert!(ctc.infer(&ty(&[None, Some(4)]), 4).is_ok());
    assert!(ctc.infer(&ty(&[None, None]), 9).is_ok());
    assert_eq!(
        ctc.infer(&ty(&[None, Some(4)]), 5).unwrap_err().why,
        "the alphabet has 5 lines for 4 classes: it has one for each, with or without the blank"
    );
    assert!(ctc.infer(&ty(&[Some(4)]), 3).is_err());
    assert!(reader(Scores::Logits, 4).infer(&ty(&[None, Some(4)]), 3).is_err());
    assert!(ctc.decode(&path(4, &[1]), &lines("ab")).is_err());
    let nan = Tensor::from_vec(vec![1, 2], vec![f32::NAN, f32::NAN]).unwrap();
    assert_eq!(ctc.decode(&nan, &lines("a")).unwrap().text, "");
}

#[test]
fn the_nearest_are_found_by_their_angle() {
    let index = Tensor::from_vec(vec![4, 2], vec![10f32, 0.0, 0.0, 2.0, 3.0, 3.0, 0.0, 0.0]).unwrap();
    let names = ["east", "north", "between", "nowhere"].map(str::to_owned);
    let vector = |x: &[f32]| Tensor::from_vec(vec![x.len()], x.to_vec()).unwrap();
    let near = |x: [f32; 2], top| {
        let made = Similar { top }.nearest(&vector(&x), &index, &names).unwrap();
        let names: Vec<String> = made[0].strings().unwrap().iter().map(|name| name.to_string()).collect();
        (names, made[1].to_f64())
    };
    let (found, scores) = near([5.0, 0.1], 2);
    assert_eq!(found, ["east", "between"]);
    assert!((scores[0] - 5.0 / 25.01f64.sqrt()).abs() < 1e-6);
    assert_eq!(near([-1.0, 0.0], 9).0, ["north", "nowhere", "between", "east"]);
    assert_eq!(near([0.0, 0.0], 1), (vec!["east".to_owned()], vec![0.0]));
    assert_eq!(near([f32::NAN, 0.0], 3), (vec![], vec![]));
    let similar = Similar { top: 2 };
    let types = similar.infer(&of(DType::F32, &[Some(2)]), &type_of(&index)).unwrap();
    assert_eq!(types, [of(DType::String, &[Some(2)]), of(DType::F32, &[Some(2)])]);
    assert!(similar.infer(&of(DType::F32, &[Some(3)]), &type_of(&index)).is_err());
    assert!(similar.infer(&of(DType::I64, &[Some(2)]), &type_of(&index)).is_err());
    assert!(similar.infer(&of(DType::F32, &[Some(2)]), &of(DType::F32, &[Some(4)])).is_err());
    assert!(similar.infer(&of(DType::F32, &[Some(2)]), &of(DType::I64, &[Some(4), Some(2)])).is_err());
    assert!(similar.nearest(&vector(&[1.0]), &index, &names).is_err());
    assert!(similar.nearest(&vector(&[1.0, 2.0]), &index, &names[..3]).is_err());
}

#[test]
fn a_tensor_is_split_into_its_rows() {
    let x = Tensor::from_vec(vec![3, 2], vec![1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let rows = Split { top: 3 }.rows(&x).unwrap();
    assert_eq!(rows.iter().map(Tensor::to_f64).collect::<Vec<_>>(), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    assert_eq!(Split { top: 3 }.infer(&[type_of(&x)]).unwrap(), of(DType::F32, &[Some(2)]));
    let too_many = "there are 3 rows, and `top = 2` is the most";
    assert_eq!(Split { top: 2 }.rows(&x).unwrap_err(), too_many);
    assert_eq!(Split { top: 2 }.infer(&[type_of(&x)]).unwrap_err().why, too_many);
    assert!(Split { top: 2 }.infer(&[of(DType::F32, &[None, Some(2)])]).is_ok());
    assert!(Split { top: 2 }.infer(&[of(DType::F32, &[])]).is_err());
}
