//! Who may import whom: the table of the architecture page (`rust/README.md`), held by reading the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the bottom up; a module may use those of its own row and of rows above it in this list.
const LEVELS: &[&[&str]] = &[
    &["error", "dtype", "shape", "layout"],
    &["storage", "tensor", "variable"],
    &["op", "trace"],
    &["ops"],
    &["autodiff"],
    &["passes"],
    &["program", "loader"],
    &["epoch"],
];

/// Steps upward that are meant, with the reason.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("trace", "ops::cast", "promotion of inputs is a cast, pushed like any other op")];

/// Modules that may name the kernels crate; `lib` passes facts of the machine through.
const KERNEL_USERS: &[&str] =
    &["lib", "error", "storage", "tensor", "op", "ops", "program", "loader", "epoch"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The files of a crate: (module, whole text without its unit tests and comments).
fn modules(krate: &str) -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(!files.is_empty());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let code: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
        let module = path.strip_prefix(&src).unwrap().components().next().unwrap();
        let module = module.as_os_str().to_string_lossy().trim_end_matches(".rs").to_string();
        (module, path, code.join("\n"))
    };
    files.into_iter().map(read).collect()
}

fn level(module: &str) -> usize {
    LEVELS.iter().position(|row| row.contains(&module)).unwrap_or_else(|| panic!("{module} has no level"))
}

/// The paths after every `crate::` in the text, as far as they are words.
fn uses(code: &str) -> Vec<String> {
    let path = |rest: &str| {
        rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).next().unwrap().to_string()
    };
    code.split("crate::").skip(1).map(path).filter(|p| !p.is_empty()).collect()
}

#[test]
fn modules_import_downwards_only() {
    let mut wrong = Vec::new();
    for (module, path, code) in modules("core").into_iter().filter(|(m, ..)| m != "lib") {
        for used in uses(&code) {
            let target = used.split("::").next().unwrap();
            let excepted = EXCEPTIONS.iter().any(|(m, u, _)| *m == module && used.starts_with(u));
            if level(target) > level(&module) && !excepted {
                wrong.push(format!("{}: crate::{used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run upward:\n{}", wrong.join("\n"));
}

#[test]
fn autodiff_names_no_op_but_sums_and_casts() {
    let (_, _, code) = modules("core").into_iter().find(|(m, ..)| m == "autodiff").unwrap();
    let named: Vec<&str> = code.split("ops::").skip(1).map(|rest| rest.split('(').next().unwrap()).collect();
    let allowed = ["elementwise::add", "reduce::sum_to_shape", "cast::cast"];
    assert!(named.iter().all(|n| allowed.contains(n) || n.contains('{')), "autodiff names {named:?}");
}

#[test]
fn only_these_modules_see_kernels() {
    for (module, path, code) in modules("core") {
        let allowed = KERNEL_USERS.contains(&module.as_str());
        assert!(allowed || !code.contains("rkeras_kernels"), "{} names the kernels", path.display());
    }
}

#[test]
fn threads_instructions_and_unsafe_code_stay_in_kernels() {
    for krate in ["core", "rkeras", "py"] {
        for (module, path, code) in modules(krate) {
            assert!(!code.contains("std::arch"), "{} names instructions", path.display());
            let exchange = krate == "py" && module == "tensor";
            let forbids = krate == "core" && module == "lib" && code.contains("#![forbid(unsafe_code)]");
            assert!(exchange || forbids || !code.contains("unsafe "), "{} has unsafe code", path.display());
        }
    }
    for (module, path, code) in modules("kernels") {
        let spawns = code.contains("thread::spawn") || code.contains("thread::Builder");
        assert!(!spawns || module == "par", "{} makes threads", path.display());
    }
}
