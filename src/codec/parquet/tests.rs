//! Rows that become a table, and are rows again.

use super::*;

#[test]
fn a_table_holds_what_was_gathered() {
    let column = |name: &str, kind, list, required| Column { required, ..Column::new(name, kind, list) };
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
    let columns = [Column { required: true, ..Column::new("item", ColumnType::Text, false) }];
    let mut gathered = header(&columns).unwrap();
    gathered.extend(&row(&[Cell::Text("a".into())]).unwrap()[..6]);
    let folder = tempfile::tempdir().unwrap();
    let out = File::create(folder.path().join("t")).unwrap();
    assert!(write_table(&mut gathered.as_slice(), out).is_err());
}

/// What is there for each element of a list, of lists within lists, or not at all.
#[test]
fn lists_and_what_is_absent_come_back() {
    let column =
        |name: &str, lists, list, maybe| Column { lists, maybe, ..Column::new(name, ColumnType::Int, list) };
    let columns = [
        Column { required: true, ..Column::new("item", ColumnType::Text, false) },
        column("each", 1, false, false),
        column("each_several", 1, true, false),
        column("each_each", 2, false, false),
        column("several", 0, true, true),
        column("all", 0, true, false),
    ];
    let list = |cells: &[Cell]| Cell::List(cells.to_vec());
    let [one, two] = [Cell::Int(1), Cell::Int(2)];
    let ones = list(&[one.clone(), two.clone()]);
    let null = Cell::Null;
    let rows = [
        [
            ones.clone(),
            list(&[ones.clone(), list(&[])]),
            list(&[list(&[null.clone(), one.clone()]), list(&[])]),
        ],
        [null.clone(), null.clone(), null.clone()],
        [list(&[]), list(&[]), list(&[])],
        [
            list(&[null.clone(), two.clone()]),
            list(&[null.clone(), list(&[two])]),
            list(&[null.clone(), ones.clone()]),
        ],
    ];
    let several = [null, ones.clone(), list(&[]), ones.clone()];
    let mut gathered = header(&columns).unwrap();
    for ([a, b, c], several) in rows.into_iter().zip(several) {
        let cells = [Cell::Text("a".into()), a, b, c, several, ones.clone()];
        gathered.extend(row(&cells).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    write_table(&mut gathered.as_slice(), File::create(&path).unwrap()).unwrap();
    let mut back = vec![];
    read_table(File::open(&path).unwrap(), &mut back).unwrap();
    assert_eq!(back.escape_ascii().to_string(), gathered.escape_ascii().to_string());
}
