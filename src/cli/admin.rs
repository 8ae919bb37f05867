//! Speaking to the admin listener of a running rserve: a request, an answer in JSON.

use super::Exit;
use super::output::complain;
use serde_json::Value;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// Where the admin listener is, and what it asks for.
#[derive(Clone, Debug, clap::Args)]
pub struct Admin {
    /// The admin listener of the rserve to speak to
    #[arg(long, value_name = "ADDR:PORT", env = "RSERVE_ADMIN", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    /// The file that holds its token, where `token_file` asks for one
    #[arg(long, value_name = "FILE", env = "RSERVE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// An answer whose status says that it was understood.
pub struct Answer {
    /// 409: something was refused, and the document says what.
    pub refused: bool,
    pub document: Value,
}

/// A load may take minutes; what says nothing for longer is not coming.
const PATIENCE: Duration = Duration::from_secs(600);

impl Admin {
    pub fn get(&self, path: &str) -> Result<Answer, Exit> {
        self.ask("GET", path)
    }

    pub fn post(&self, path: &str) -> Result<Answer, Exit> {
        self.ask("POST", path)
    }

    fn ask(&self, method: &str, path: &str) -> Result<Answer, Exit> {
        let token = match &self.token_file {
            None => String::new(),
            Some(file) => match fs::read_to_string(file) {
                Ok(token) => format!("authorization: Bearer {}\r\n", token.trim()),
                Err(error) => {
                    complain(&format!("cannot read the token in `{}`: {error}", file.display()));
                    return Err(Exit::CouldNotRun);
                }
            },
        };
        let (status, body) = match self.exchange(method, path, &token) {
            Ok(answer) => answer,
            Err(error) => {
                complain(&format!(
                    "no rserve answers on {}: {error}; `--admin` names the admin listener of another",
                    self.admin
                ));
                return Err(Exit::CouldNotRun);
            }
        };
        let document: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        match status {
            200 | 409 => Ok(Answer { refused: status == 409, document }),
            401 => {
                complain("it asks for a token: `--token-file` names the file that holds it");
                Err(Exit::CouldNotRun)
            }
            _ => {
                let detail = document["detail"].as_str().unwrap_or("no more is known");
                complain(&format!("{status}: {detail}"));
                Err(if status < 500 { Exit::Wrong } else { Exit::CouldNotRun })
            }
        }
    }

    /// Status and body.
    fn exchange(&self, method: &str, path: &str, token: &str) -> io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: 0\r\n{token}\r\n",
            self.admin
        );
        stream.write_all(head.as_bytes())?;
        let mut reply = vec![];
        stream.read_to_end(&mut reply)?;
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "what answers does not speak HTTP");
        let end = reply.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(odd)?;
        let head = String::from_utf8_lossy(&reply[..end]);
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or_else(odd)?;
        let status = status.parse().map_err(|_| odd())?;
        Ok((status, reply.split_off(end + 4)))
    }
}

/// Columns as wide as what is in them.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

/// A part of a path, as it is put into a URL.
pub fn escaped(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// "2, 3", or "none".
pub fn numbers(value: &Value) -> String {
    let list: Vec<String> = value.as_array().into_iter().flatten().map(Value::to_string).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or("").to_owned()
}
