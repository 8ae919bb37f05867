//! Files that compile, and what they compile to.

use super::{ROAD, compile_on, compile_with, facts, on_cpu, plan, road, with_gpus};
use crate::fakes::{id, ids};
use rserve::diagnostic::render;
use rserve::plan::{DeviceId, Plan, SlotId, Step};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a step reads, and from where.
fn inputs(step: &Step) -> Vec<(&str, SlotId)> {
    step.inputs.iter().map(|input| (input.name.as_str(), input.slot)).collect()
}

/// What a step gives, to where, and whether it is read on the host.
fn outputs(step: &Step) -> Vec<(&str, Option<SlotId>, bool)> {
    step.outputs.iter().map(|output| (output.name.as_str(), output.slot, output.to_host)).collect()
}

#[test]
fn the_whole_language_compiles_to_this() {
    let plan = plan(ROAD);
    let road = &plan.pipelines[0];
    assert_eq!(
        (road.name.as_str(), road.route.as_str(), road.timeout),
        ("road", "/road", Duration::from_secs(30))
    );
    assert_eq!(*road.models, *ids(&[0, 1]));
    let online = &road.online;
    assert_eq!(online.slots.len(), 3);
    assert!(online.decodes[id(0)].keep_origin);
    let mask = &online.steps[id(0)];
    assert_eq!(
        (mask.name.as_str(), mask.model(), inputs(mask)),
        ("mask", Some(id(0)), vec![("image", id(0))])
    );
    assert_eq!(outputs(mask), [("mask", Some(id(1)), true)]);
    let surface = &online.steps[id(1)];
    assert_eq!(
        (surface.model(), inputs(surface), outputs(surface)),
        (Some(id(1)), vec![("image", id(0)), ("mask", id(1))], vec![("probabilities", Some(id(2)), true)])
    );
    let [reply, overlay] = &*online.encodes else { panic!("{:?}", online.encodes) };
    assert_eq!((reply.name.as_str(), reply.needs.as_slice(), reply.origin), ("reply", &*ids(&[0, 1]), None));
    assert_eq!(reply.sources[0].slot, id(2));
    assert_eq!(reply.sources[0].labels, Some((id(1), "labels.txt".to_owned())));
    assert_eq!(
        (overlay.needs.as_slice(), overlay.origin, overlay.sources[0].slot),
        (&*ids(&[0]), Some(id(0)), id(1))
    );
    // Offline nobody draws on the picture, and the mask stays on its device.
    let offline = &road.offline;
    assert!(!offline.decodes[id(0)].keep_origin);
    assert!(!offline.steps[id(0)].outputs[0].to_host);
    assert_eq!(offline.encodes.len(), 1);
}

#[test]
fn defaults() {
    let plan = plan(ROAD);
    assert_eq!(plan.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(plan.server.admin.unwrap().to_string(), "127.0.0.1:8081");
    assert_eq!((plan.server.max_body, plan.server.drain), (16 << 20, Duration::from_secs(30)));
    assert_eq!(plan.server.memory, None);
    assert!(plan.watch.enabled);
    assert_eq!(plan.watch.settle, Duration::from_millis(500));
    let [mask, surface] = &*plan.models else { panic!() };
    assert!(mask.latest && !surface.latest);
    assert_eq!((mask.versions.as_slice(), surface.versions.as_slice()), (&[2][..], &[2][..]));
    assert_eq!((mask.batch.max, mask.batch.wait, mask.queue), (16, Duration::ZERO, 256));
}

/// Each is another way of writing, or a corner, that must be taken.
#[test]
fn variations() {
    let smallest = "[store]\npath = \"store\"\n[models.road-mask]\n[pipelines.p]\n\
        decode.x = { format = \"npy\", dtype = \"float32\", shape = [3, 64, 64] }\n\
        steps.s = { model = \"road-mask\", inputs.image = \"x\" }\nencode.y = { format = \"npy\", from = \"s\" }\n";
    let headers = "[store]\npath = \"store\"\n[models.road-mask.batch]\nmax = 4\nwait = \"2ms\"\n\
        [pipelines.p.decode.photo]\nformat = \"image\"\nsize = [64, 64]\n[pipelines.p.steps.s]\nmodel = \"road-mask\"\n\
        [pipelines.p.steps.s.inputs]\nimage = \"photo\"\n[pipelines.p.encode.reply]\nformat = \"json\"\n\
        [pipelines.p.encode.reply.fields.road]\nfrom = \"s.mask\"\nas = \"mean\"\n";
    let one_line = "store.path = \"store\"\nmodels = { road-mask = { gpu = 1 } }\npipelines.p = { decode.x = { \
        format = \"image\", size = 64 }, steps = { s = { model = \"road-mask\", inputs = { image = \"x\" } } }, \
        encode.y = { format = \"npy\", from = \"s\" } }\n";
    let texts = [
        ROAD.to_owned(),
        smallest.to_owned(),
        headers.to_owned(),
        one_line.to_owned(),
        ROAD.replace('\n', "\r\n"),
        format!("\u{feff}{ROAD}"),
        format!("# ünïcödé\n{ROAD}"),
        road(&[("version = 2", "version = \"latest\"")]),
        road(&[("version = 2", "version = [2, 1]")]),
        road(&[("gpu = 0.7\n", "")]),
        road(&[("gpu = 0.7", "gpu = 0.7\nbatch = { max = 1, wait = \"1.5ms\" }\nqueue = 1")]),
        road(&[("from = \"mask\"", "from = \"mask.mask\"")]),
        road(&[("[store]", "[device]\nuse = \"cpu\"\n[store]")]),
        road(&[(
            "[store]",
            "[server]\nlisten = \"[::1]:0\"\nadmin = \"off\"\nmax_body = \"1 GiB\"\nmemory = \"8GiB\"\nhealth = \"0.0.0.0:8082\"\nper_client = \"off\"\n[store]",
        )]),
        road(&[(
            "[store]",
            "[server]\nadmin = \"0.0.0.0:8081\"\ninsecure = true\nadmin_hosts = [\"Rserve.internal\"]\n\
             per_client = { connections = 5, memory = \"1MiB\" }\nproxies = [\"10.0.0.0/8\", \"::1\"]\n[store]",
        )]),
        road(&[("[store]", "[server]\nadmin = \"[::]:8081\"\ntoken_file = \"admin.token\"\n[store]")]),
        road(&[("[store]", "[server]\nadmin = \"localhost:8081\"\n[store]")]),
        road(&[("route = \"/road\"\n", "")]),
        road(&[("\"/road\"", "\"/v1/road-mask_2.0~x/predict\"")]),
        // The steps in another order than they run.
        road(&[
            ("mask = { model = \"road-mask\", inputs = { image = \"photo\" } }\n", ""),
            (
                "[pipelines.road.online]",
                "mask = { model = \"road-mask\", inputs = { image = \"photo\" } }\n\n[pipelines.road.online]",
            ),
        ]),
        // One entry point left out: it is as the other.
        ROAD.split("[pipelines.road.offline]").next().unwrap().to_owned(),
        // A step that has dots in its name, and two that call one model.
        road(&[
            ("mask = { model", "a.b = { model").into_dotted(),
            ("mask = \"mask\"", "mask = \"a.b\""),
            ("from = \"mask\"", "from = \"a.b.mask\""),
        ]),
    ];
    for text in texts {
        plan(&text);
    }
}

trait IntoDotted {
    fn into_dotted(self) -> Self;
}

impl IntoDotted for (&'static str, &'static str) {
    /// A dot in a name must be quoted in TOML.
    fn into_dotted(self) -> Self {
        (self.0, "\"a.b\" = { model")
    }
}

fn placed(plan: &Plan) -> Vec<(&str, DeviceId)> {
    plan.models.iter().map(|m| (m.name.as_str(), m.devices[0])).collect()
}

#[test]
fn models_are_placed_where_they_fit() {
    let on = |count, text: &str| {
        let (plan, report) = compile_on(&with_gpus(count), &[("road.toml", text)]);
        plan.unwrap_or_else(|| panic!("{}", render(&report, false)))
    };
    let (first, second) = (DeviceId::Cuda(0), DeviceId::Cuda(1));
    let plan = on(1, ROAD);
    assert_eq!(placed(&plan), [("road-mask", first), ("surface", first)]);
    // They do not fit together, so that the mask leaves its device.
    let apart = road(&[("gpu = 0.3", "gpu = 0.4")]);
    let plan = on(2, &apart);
    assert_eq!(placed(&plan), [("road-mask", first), ("surface", second)]);
    assert_eq!(plan.devices[1].held, [(id(1), 0.4)]);
    assert!(plan.pipelines[0].offline.steps[id(0)].outputs[0].to_host);
    let second_only = road(&[("[store]", "[device]\nuse = \"cuda:1\"\n[store]")]);
    assert_eq!(placed(&on(2, &second_only)), [("road-mask", second), ("surface", second)]);
    // Best fit alone, the largest first, would not find this one.
    let shares = [0.5, 0.4, 0.3, 0.3, 0.3, 0.2];
    let mut text = "[store]\npath = \"store\"\n".to_owned();
    let names = ["road-mask", "surface", "half-broken", "relabelled", "mislabelled", "single"];
    for (name, share) in names.iter().zip(shares) {
        text += &format!("[models.{name}]\ngpu = {share}\n");
    }
    text += "[pipelines.p]\ndecode.x = { format = \"image\", size = 64 }\n[pipelines.p.steps]\n\
        a = { model = \"road-mask\", inputs = { image = \"x\" } }\nb = { model = \"half-broken\", inputs = { image = \"x\" } }\n\
        c = { model = \"single\", inputs = { image = \"x\" } }\nd = { model = \"surface\", inputs = { image = \"x\", mask = \"a\" } }\n\
        e = { model = \"relabelled\", inputs = { image = \"x\", mask = \"b\" } }\n\
        f = { model = \"mislabelled\", inputs = { image = \"x\", mask = \"c\" } }\n\
        [pipelines.p.encode.reply]\nformat = \"json\"\nfields = { d = \"d\", e = \"e\", f = \"f\" }\n";
    let plan = on(2, &text);
    for device in &plan.devices {
        assert!((device.held.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn replicas_lie_apart_where_they_can_and_share_a_device_where_they_cannot() {
    let three = road(&[("gpu = 0.7", "gpu = 0.4\nreplicas = 3")]);
    let (plan, report) = compile_on(&with_gpus(2), &[("road.toml", &three)]);
    let plan = plan.unwrap_or_else(|| panic!("{}", render(&report, false)));
    assert_eq!(plan.models[id(0)].devices, [DeviceId::Cuda(0), DeviceId::Cuda(1), DeviceId::Cuda(0)]);
    // The mask may be computed on either device, so that it comes down.
    assert_eq!(plan.models[id(1)].devices, [DeviceId::Cuda(1)]);
    assert_eq!(plan.devices[0].held, [(id(0), 0.8)]);
    assert_eq!(plan.devices[1].held, [(id(0), 0.4), (id(1), 0.3)]);
    assert!(plan.pipelines[0].offline.steps[id(0)].outputs[0].to_host);
    let text = rserve::plan::graph::text(&plan);
    for line in ["0.4 of cuda:0 x2, cuda:1", "0.4 x2", "0.3 "] {
        assert!(text.contains(line), "{line}: {text}");
    }

    let idle = road(&[("gpu = 0.7", "replicas = 4")]);
    let (plan, _) = compile_on(&with_gpus(2), &[("road.toml", &idle)]);
    let mut devices = plan.unwrap().models[id(0)].devices.clone();
    devices.sort_unstable();
    assert_eq!(devices, [0, 0, 1, 1].map(DeviceId::Cuda));
}

#[test]
fn what_is_written_of_batches_and_priorities_is_planned() {
    let text = road(&[
        ("gpu = 0.7", "gpu = 0.7\nbatch = { sizes = [8, 1, 4] }"),
        ("[pipelines.road]\n", "[pipelines.road]\npriority = \"low\"\n"),
    ]);
    let plan = plan(&text);
    let batch = &plan.models[id(0)].batch;
    assert_eq!((batch.max, &*batch.sizes), (8, &[1, 4, 8][..]));
    assert_eq!([1, 2, 4, 5, 8].map(|rows| batch.padded(rows)), [1, 4, 4, 8, 8]);
    assert_eq!(plan.models[id(1)].batch.padded(5), 5);
    assert_eq!(plan.pipelines[0].priority, rserve::plan::Priority::Low);
}

/// The type of the input in the same place was checked, which is another one.
#[test]
fn versions_that_order_their_inputs_otherwise_are_fed_by_name() {
    let mut facts = facts();
    let models = facts.stores.get_mut(Path::new("store")).unwrap().as_mut().unwrap();
    let first = models.get_mut("surface").unwrap().versions.get_mut(&1).unwrap().as_mut().unwrap();
    Arc::make_mut(&mut first.signature).inputs.reverse();
    let text = road(&[("version = 2", "version = [1, 2]")]);
    let (plan, report) = compile_with(&facts, &on_cpu(), &[("road.toml", &text)]);
    let plan = plan.unwrap_or_else(|| panic!("{}", render(&report, false)));
    assert_eq!(plan.models[id(1)].versions, [1, 2]);
}
