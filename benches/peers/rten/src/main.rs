//! One model in rten, run as often as it is told; the same lines as `../../infer.rs` reads.

use rten::{Model, ModelOptions, NodeId, Value, ValueOrView};
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name a model.onnx")?;
    let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(path)?;
    let mut inputs: Vec<(NodeId, Value)> = Vec::new();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["input", name, dtype, dims, file] => {
                let shape = dims.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
                inputs.push((model.node_id(name)?, value(dtype, &shape, &std::fs::read(file)?)?));
            }
            ["clear"] => inputs.clear(),
            ["run", count] => {
                let times = (0..count.parse()?).map(|_| time(&model, &inputs)).collect::<Result<Vec<_>, _>>()?;
                println!("{}", times.join(" "));
            }
            _ => return Err(format!("{line:?} is not known").into()),
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn time(model: &Model, inputs: &[(NodeId, Value)]) -> Result<String, Box<dyn Error>> {
    let views = inputs.iter().map(|(id, value)| (*id, ValueOrView::View(value.as_view()))).collect();
    let began = Instant::now();
    std::hint::black_box(model.run(views, model.output_ids(), None)?);
    Ok(format!("{:.1}", began.elapsed().as_secs_f64() * 1e6))
}

/// rten has neither int64 nor bool: both are int32 there.
fn value(dtype: &str, shape: &[usize], bytes: &[u8]) -> Result<Value, Box<dyn Error>> {
    Ok(match dtype {
        "float32" => {
            let elements = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            Value::from_shape::<f32>(shape, elements.collect())?
        }
        "int64" => {
            let elements = bytes.chunks_exact(8).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            Value::from_shape::<i32>(shape, elements.collect())?
        }
        "bool" => Value::from_shape::<i32>(shape, bytes.iter().map(|b| i32::from(*b)).collect())?,
        other => return Err(format!("{other} is not known").into()),
    })
}
