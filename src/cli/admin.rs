//! Speaking to the admin listener of a running rserve: a request, an answer in JSON.

use super::Exit;
use super::output::complain;
use crate::spec::{Address, NotAnAddress};
use clap::ValueHint;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// The address of the admin listener, and the token that it asks for.
#[derive(Clone, Debug, clap::Args)]
pub struct Admin {
    /// The admin listener of the rserve to speak to
    #[arg(long, value_name = "HOST:PORT", env = "RSERVE_ADMIN", default_value = DEFAULT, value_parser = address, value_hint = ValueHint::Other)]
    admin: Address,
    /// The file that holds its token, where `token_file` asks for one
    #[arg(long, value_name = "FILE", env = "RSERVE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

const DEFAULT: &str = "127.0.0.1:8081";

/// Where to connect: a URL will do, and nothing stands for the usual address, as it does in a variable that is
/// set to nothing.
fn address(text: &str) -> Result<Address, NotAnAddress> {
    match text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/') {
        "" => DEFAULT.parse(),
        bare => bare.parse(),
    }
}

/// An answer whose status says that it was understood.
pub struct Answer<T> {
    /// 409 or 504: something was refused or not done in time, and the document says what.
    pub refused: bool,
    pub document: T,
    /// The document as it came.
    pub json: Value,
}

/// What is read of a problem document.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// A load may take minutes; what says nothing for longer is not coming.
const PATIENCE: Duration = Duration::from_secs(600);

impl Admin {
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Exit> {
        self.ask("GET", path)
    }

    pub fn post<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Exit> {
        self.ask("POST", path)
    }

    fn ask<T: DeserializeOwned>(&self, method: &str, path: &str) -> Result<Answer<T>, Exit> {
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
        match status {
            200 | 409 | 504 => {
                let read = serde_json::from_slice(&body).and_then(|json: Value| {
                    let document = T::deserialize(&json)?;
                    Ok(Answer { refused: status != 200, document, json })
                });
                read.map_err(|error| {
                    complain(&format!(
                        "what answers on {} is not this version of rserve: {error}",
                        self.admin
                    ));
                    Exit::CouldNotRun
                })
            }
            401 => {
                complain("it asks for a token: `--token-file` names the file that holds it");
                Err(Exit::CouldNotRun)
            }
            _ => {
                let problem: Option<Problem> = serde_json::from_slice(&body).ok();
                let detail = problem.map_or("no more is known".to_owned(), |problem| problem.detail);
                complain(&format!("{status}: {detail}"));
                Err(if status < 500 { Exit::Wrong } else { Exit::CouldNotRun })
            }
        }
    }

    /// To the first of the host's addresses where something listens.
    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (self.admin.host.as_str(), self.admin.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Status and body.
    fn exchange(&self, method: &str, path: &str, token: &str) -> io::Result<(u16, Vec<u8>)> {
        let mut stream = self.connect()?;
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
pub fn numbers(list: &[u64]) -> String {
    let list: Vec<String> = list.iter().map(u64::to_string).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_url_and_nothing_is_the_usual_one() {
        let host = |text| address(text).map(|address| address.to_string());
        assert_eq!(host("localhost:9"), Ok("localhost:9".to_owned()));
        assert_eq!(host("http://rserve:8081/"), Ok("rserve:8081".to_owned()));
        assert_eq!(host(""), Ok(DEFAULT.to_owned()));
        assert_eq!(host("rserve"), Err(NotAnAddress));
    }
}
