//! Rows that become a table, and are rows again.

use super::*;

#[test]
fn a_table_holds_what_was_gathered() {
    let column = |name: &str, kind, list, required| Column { name: name.into(), kind, list, required };
    let columns = [
        column("item", ColumnType::Text, false, true),
        column("score", ColumnType::Double, false, false),
        column("vector", ColumnType::Float, true, false),
        column("class", ColumnType::Int, false, false),
        column("safe", ColumnType::Bool, false, false),
    ];
    let mut gathered = header(&columns).unwrap();
    for i in 0..70_000_i64 {
        let vector = (0..i % 4).map(|v| Cell::Float(v as f32 / 3.0)).collect();
        let score = if i % 5 == 0 { Cell::Null } else { Cell::Double(i as f64 / 7.0) };
        gathered.extend(
            row(&[
                Cell::Text(format!("ä{i}\n.jpg")),
                score,
                Cell::List(vector),
                Cell::Int(-i),
                Cell::Bool(i % 3 == 0),
            ])
            .unwrap(),
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    write_table(&mut gathered.as_slice(), File::create(&path).unwrap()).unwrap();
    let mut back = vec![];
    read_table(File::open(&path).unwrap(), &mut back).unwrap();
    assert!(back == gathered, "{} bytes, {} came back", gathered.len(), back.len());
}

#[test]
fn half_a_row_is_an_error() {
    let columns = [Column { name: "item".into(), kind: ColumnType::Text, list: false, required: true }];
    let mut gathered = header(&columns).unwrap();
    gathered.extend(&row(&[Cell::Text("a".into())]).unwrap()[..6]);
    let folder = tempfile::tempdir().unwrap();
    let out = File::create(folder.path().join("t")).unwrap();
    assert!(write_table(&mut gathered.as_slice(), out).is_err());
}
