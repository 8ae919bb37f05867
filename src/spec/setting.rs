//! Single values that are more than a string or a number: addresses, durations, routes, versions, devices.

use super::document::Value;
use super::reader::{Expected, number};
use super::unit::{mend_duration, mend_size, parse_duration, parse_size};
use super::{Address, DeviceUse, Network, Version};
use crate::diagnostic::At;
use std::time::Duration;

type Read<T> = Result<T, Expected>;

pub fn duration(value: &At<Value>) -> Read<Duration> {
    let wanted = || Expected::new("a duration with a unit, such as \"500ms\" or \"30s\"");
    match &value.value {
        Value::String(s) => parse_duration(s).ok_or_else(|| match mend_duration(s) {
            Some(meant) => wanted().help(format!("did you mean \"{meant}\"? units: us, ms, s, m, h, d")),
            None => wanted().help("units: us, ms, s, m, h, d"),
        }),
        Value::Integer(n) if *n >= 0 => Err(wanted().help(format!("did you mean \"{n}s\" or \"{n}ms\"?"))),
        _ => Err(wanted()),
    }
}

pub fn positive_duration(value: &At<Value>) -> Read<Duration> {
    match duration(value)? {
        Duration::ZERO => Err(Expected::new("a duration above zero")),
        d => Ok(d),
    }
}

/// Bytes, at least one.
pub fn size(value: &At<Value>) -> Read<u64> {
    let wanted = || Expected::new("a size with a unit, such as \"16MiB\"");
    let units = "units: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB";
    match &value.value {
        Value::String(s) => match parse_size(s) {
            Some(0) => Err(Expected::new("a size above zero")),
            Some(size) => Ok(size),
            None => Err(match mend_size(s) {
                Some(meant) => wanted().help(format!("did you mean \"{meant}\"? {units}")),
                None => wanted().help(units),
            }),
        },
        Value::Integer(n) if *n > 0 => Err(wanted().help(format!("did you mean \"{n}B\" or \"{n}MiB\"?"))),
        _ => Err(wanted().help(units)),
    }
}

pub fn address(value: &At<Value>) -> Read<Address> {
    let wanted = || Expected::new("a host and a port, such as \"127.0.0.1:8080\" or \"localhost:8080\"");
    match &value.value {
        Value::String(s) => s.parse().map_err(|_| match mend_address(s) {
            Some(mended) => wanted().help(format!("did you mean \"{mended}\"?")),
            None => wanted(),
        }),
        Value::Integer(port) if (0..=65_535).contains(port) => {
            Err(wanted().help(format!("did you mean \"127.0.0.1:{port}\"?")))
        }
        _ => Err(wanted()),
    }
}

/// ":80", "http://localhost:80/", "0.0.0.0" and "80" as they were meant.
fn mend_address(s: &str) -> Option<Address> {
    let tries = [
        format!("0.0.0.0{s}"),
        s.trim_start_matches("http://").trim_end_matches('/').to_owned(),
        format!("{s}:8080"),
        format!("127.0.0.1:{s}"),
    ];
    tries.iter().find_map(|t| t.parse().ok())
}

pub fn admin(value: &At<Value>) -> Read<Option<Address>> {
    match &value.value {
        Value::String(s) if s == "off" => Ok(None),
        Value::Bool(false) => {
            Err(Expected::new("an address or \"off\"").help("write `admin = \"off\"` to have none"))
        }
        _ => match address(value) {
            Ok(address) => Ok(Some(address)),
            Err(wanted) => Err(Expected { what: format!("{}, or \"off\"", wanted.what), help: wanted.help }),
        },
    }
}

pub fn device_use(value: &At<Value>) -> Read<DeviceUse> {
    let wanted = || {
        Expected::new(
            "\"auto\", \"cpu\", \"cuda\" or CUDA devices by number, such as [\"cuda:0\", \"cuda:1\"]",
        )
    };
    let index = |s: &str| s.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok());
    match &value.value {
        Value::String(s) => match s.as_str() {
            "auto" => Ok(DeviceUse::Auto),
            "cpu" => Ok(DeviceUse::Cpu),
            "cuda" => Ok(DeviceUse::Cuda),
            "gpu" => Err(wanted().help("did you mean \"cuda\"?")),
            other => match (index(other), crate::diagnostic::nearest(other, ["auto", "cpu", "cuda"])) {
                (Some(index), _) => Ok(DeviceUse::Listed(vec![index])),
                (None, Some(near)) => Err(wanted().help(format!("did you mean \"{near}\"?"))),
                (None, None) => Err(wanted()),
            },
        },
        Value::Array(items) if !items.is_empty() => {
            let mut listed = vec![];
            for item in items {
                let Value::String(name) = &item.value else { return Err(wanted()) };
                let index = index(name).ok_or_else(wanted)?;
                if listed.contains(&index) {
                    return Err(Expected::new(format!(
                        "a list that has each device once; \"{name}\" is twice in it"
                    )));
                }
                listed.push(index);
            }
            Ok(DeviceUse::Listed(listed))
        }
        _ => Err(wanted()),
    }
}

pub fn version(value: &At<Value>) -> Read<Version> {
    let wanted = || Expected::new("\"latest\", a version such as 3, or several such as [2, 3]");
    let one = |v: &At<Value>| match &v.value {
        Value::Integer(n) => u64::try_from(*n).map_err(|_| wanted()),
        Value::String(s) if s.parse::<u64>().is_ok() => {
            Err(wanted().help(format!("write the number without quotes: {s}")))
        }
        Value::String(s) if crate::diagnostic::nearest(s, ["latest"]).is_some() => {
            Err(wanted().help("did you mean \"latest\"?"))
        }
        _ => Err(wanted()),
    };
    match &value.value {
        Value::String(s) if s == "latest" => Ok(Version::Latest),
        Value::Array(items) if items.is_empty() => {
            Err(wanted().help("name at least one version, or \"latest\""))
        }
        Value::Array(items) => {
            let mut versions: Vec<u64> = items.iter().map(one).collect::<Read<_>>()?;
            versions.sort_unstable();
            if let Some(pair) = versions.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(Expected::new(format!(
                    "a list that has each version once; {} is twice in it",
                    pair[0]
                )));
            }
            Ok(Version::Several(versions))
        }
        _ => one(value).map(Version::One),
    }
}

/// Rows that a batch may have: ascending, each once.
pub fn batch_sizes(value: &At<Value>) -> Read<Vec<usize>> {
    let wanted = || Expected::new("an array of batch sizes from 1 to 65536, such as [1, 4, 16]");
    let Value::Array(items) = &value.value else { return Err(wanted()) };
    let one = |item: &At<Value>| match item.value {
        Value::Integer(n @ 1..=65_536) => Ok(n as usize),
        _ => Err(wanted()),
    };
    let mut sizes: Vec<usize> = items.iter().map(one).collect::<Read<_>>()?;
    sizes.sort_unstable();
    match sizes.windows(2).find(|pair| pair[0] == pair[1]) {
        _ if sizes.is_empty() => Err(wanted().help("leave `sizes` out for batches of any size")),
        Some(pair) => {
            Err(Expected::new(format!("an array that has each size once; {} is twice in it", pair[0])))
        }
        None => Ok(sizes),
    }
}

/// The number of an axis, or false where there is no batch axis.
pub fn batch_axis(value: &At<Value>) -> Read<Option<usize>> {
    match value.value {
        Value::Integer(axis @ 0..=15) => Ok(Some(axis as usize)),
        Value::Bool(false) => Ok(None),
        _ => Err(Expected::new("the number of an axis from 0 to 15, or false where there is none")),
    }
}

/// `{ x = 1, h = false }`: batch axes by the name of an input or output.
pub fn batch_axes(value: &At<Value>) -> Read<Vec<(At<String>, Option<usize>)>> {
    let wanted = || Expected::new("axes by the name of an input or output, such as { x = 1, state = false }");
    let Value::Table(table) = &value.value else { return Err(wanted()) };
    let one = |(port, axis): &(At<String>, At<Value>)| match batch_axis(axis) {
        Ok(axis) => Ok((port.clone(), axis)),
        Err(of) => Err(wanted().help(format!("`{}` is {}", port.value, of.what))),
    };
    table.entries.iter().map(one).collect()
}

/// `{ 2 = 95, 3 = 5 }`: per cent by version, a hundred together.
pub fn traffic(value: &At<Value>) -> Read<Vec<(u64, f64)>> {
    let wanted = || Expected::new("per cent by version, such as { 2 = 95, 3 = 5 }");
    let Value::Table(table) = &value.value else { return Err(wanted()) };
    let mut weights = vec![];
    for (key, weight) in &table.entries {
        let version = key.value.parse::<u64>().ok().filter(|n| n.to_string() == key.value);
        let version = version.ok_or_else(|| wanted().help(format!("`{}` is not a version", key.value)))?;
        match number(weight) {
            Ok(weight) if weight >= 0.0 => weights.push((version, weight)),
            _ => return Err(wanted().help(format!("the part of version {version} is a number from 0"))),
        }
    }
    weights.sort_unstable_by_key(|(version, _)| *version);
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    if (sum - 100.0).abs() <= 1e-6 {
        return Ok(weights);
    }
    if sum <= 0.0 {
        return Err(wanted().help("at least one version has more than 0"));
    }
    let tenths = |part: f64| (part * 10.0).round() / 10.0;
    let mut parts: Vec<(u64, f64)> =
        weights.iter().map(|(version, weight)| (*version, tenths(weight / sum * 100.0))).collect();
    // What rounding leaves over goes to the largest.
    let rest = tenths(100.0 - parts.iter().map(|(_, part)| part).sum::<f64>());
    if let Some(largest) = parts.iter_mut().max_by(|a, b| a.1.total_cmp(&b.1)) {
        largest.1 = tenths(largest.1 + rest);
    }
    let parts: Vec<String> = parts.iter().map(|(version, part)| format!("{version} = {part}")).collect();
    Err(Expected::new(format!("per cent that add up to 100, and not to {}", tenths(sum)))
        .help(format!("in the same proportion: `{{ {} }}`", parts.join(", "))))
}

/// One version by number.
pub fn one_version(value: &At<Value>) -> Read<u64> {
    let wanted = || Expected::new("a version, such as 3");
    match &value.value {
        Value::Integer(n) => u64::try_from(*n).map_err(|_| wanted()),
        Value::String(s) if s.parse::<u64>().is_ok() => {
            Err(wanted().help(format!("write the number without quotes: {s}")))
        }
        _ => Err(wanted()),
    }
}

/// The name of a request's header, in lower case.
pub fn header_name(value: &At<Value>) -> Read<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match &value.value {
        Value::String(s) if !s.is_empty() && s.len() <= 64 && s.bytes().all(plain) => {
            Ok(s.to_ascii_lowercase())
        }
        _ => Err(Expected::new("the name of a header, such as \"x-user-id\"")),
    }
}

/// Ranges of addresses.
pub fn networks(value: &At<Value>) -> Read<Vec<Network>> {
    let wanted =
        || Expected::new("an array of addresses and ranges of them, such as [\"10.0.0.0/8\", \"::1\"]");
    let Value::Array(items) = &value.value else { return Err(wanted()) };
    let one = |item: &At<Value>| match &item.value {
        Value::String(s) => s.parse().map_err(|_| wanted().help(format!("{s:?} is neither"))),
        _ => Err(wanted()),
    };
    items.iter().map(one).collect()
}

/// Names of hosts, in lower case and without ports.
pub fn host_names(value: &At<Value>) -> Read<Vec<String>> {
    let wanted = || Expected::new("an array of names of hosts without ports, such as [\"rserve.internal\"]");
    let Value::Array(items) = &value.value else { return Err(wanted()) };
    let one = |item: &At<Value>| match &item.value {
        // With any port, it is an address to listen on.
        Value::String(s) => match format!("{s}:0").parse::<Address>() {
            Ok(address) => Ok(address.host),
            Err(_) => Err(wanted().help(format!("{s:?} is no such name"))),
        },
        _ => Err(wanted()),
    };
    items.iter().map(one).collect()
}

/// Begins with `/`; segments of letters, digits, `-`, `_`, `.` and `~`; not a path that rserve itself answers.
pub fn route(value: &At<Value>) -> Read<String> {
    let wanted = || Expected::new("a path such as \"/road/predict\"");
    let Value::String(route) = &value.value else { return Err(wanted()) };
    let Some(path) = route.strip_prefix('/') else {
        return Err(wanted().help(format!("begin it with a slash: \"/{route}\"")));
    };
    if path.is_empty() || path == "healthz" || path.starts_with("healthz/") {
        return Err(Expected::new("a path that rserve does not answer itself")
            .help("`/` lists the routes, and `/healthz/...` tells whether the server is up"));
    }
    if let Some(stripped) = route.strip_suffix('/') {
        return Err(wanted().help(format!("leave the last slash out: \"{stripped}\"")));
    }
    let odd = path.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '-' | '_' | '.' | '~'));
    if let Some(odd) = odd {
        return Err(
            wanted().help(format!("{odd:?} cannot stand in it: letters, digits, `-`, `_`, `.` and `~` can"))
        );
    }
    if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(wanted().help("every part between two slashes needs a name"));
    }
    if route.len() > 1024 {
        return Err(Expected::new("a path of at most 1024 characters"));
    }
    Ok(route.clone())
}
