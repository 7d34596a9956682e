//! Programs by signature: bounded, counted, and able to say why a call compiled anew.

use std::collections::VecDeque;

use crate::shape::Spec;

/// What tells programs of one function apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// The kind of step: train, test, predict.
    pub kind: String,
    /// Shapes and dtypes of the arguments.
    pub specs: Vec<Spec>,
    /// Everything else that the trace depended on, in words.
    pub fixed: String,
}

/// A bounded map from signatures to programs; the least recently used go first.
#[derive(Debug)]
pub struct Cache<P> {
    /// Most recently used last.
    entries: VecDeque<(Signature, P)>,
    capacity: usize,
    /// Calls that found a program.
    pub hits: usize,
    /// Calls that did not.
    pub misses: usize,
    /// Programs that were dropped for others.
    pub evictions: usize,
    explanations: VecDeque<String>,
}

/// Explanations kept.
const EXPLAINED: usize = 64;

impl<P: Clone> Cache<P> {
    /// An empty cache for `capacity` programs.
    pub fn new(capacity: usize) -> Cache<P> {
        Cache {
            entries: VecDeque::new(),
            capacity: capacity.max(1),
            hits: 0,
            misses: 0,
            evictions: 0,
            explanations: VecDeque::new(),
        }
    }

    /// The program of that signature.
    pub fn get(&mut self, signature: &Signature) -> Option<P> {
        if let Some(i) = self.entries.iter().rposition(|(s, _)| s == signature) {
            self.hits += 1;
            if i + 1 < self.entries.len() {
                let entry = self.entries.remove(i)?;
                self.entries.push_back(entry);
            }
            return self.entries.back().map(|(_, p)| p.clone());
        }
        self.misses += 1;
        if self.explanations.len() == EXPLAINED {
            self.explanations.pop_front();
        }
        let why = self.explain_miss(signature);
        self.explanations.push_back(why);
        None
    }

    /// Adds a program.
    pub fn put(&mut self, signature: Signature, program: P) {
        self.entries.retain(|(s, _)| *s != signature);
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
            self.evictions += 1;
        }
        self.entries.push_back((signature, program));
    }

    /// Drops all programs.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// How many programs there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// For the latest misses: what differed from the nearest signature known.
    pub fn explanations(&self) -> impl Iterator<Item = &str> {
        self.explanations.iter().map(String::as_str)
    }

    fn explain_miss(&self, wanted: &Signature) -> String {
        let differences = |s: &Signature| {
            let mut out = Vec::new();
            if s.fixed != wanted.fixed {
                out.push(format!("static arguments {} instead of {}", wanted.fixed, s.fixed));
            }
            if s.specs.len() != wanted.specs.len() {
                out.push(format!("{} arguments instead of {}", wanted.specs.len(), s.specs.len()));
            }
            for (i, (a, b)) in wanted.specs.iter().zip(&s.specs).enumerate() {
                if a.shape != b.shape {
                    out.push(format!("argument {i}: shape {} instead of {}", a.shape, b.shape));
                }
                if a.dtype != b.dtype {
                    out.push(format!("argument {i}: dtype {} instead of {}", a.dtype, b.dtype));
                }
            }
            out
        };
        let nearest = self
            .entries
            .iter()
            .filter(|(s, _)| s.kind == wanted.kind)
            .map(|(s, _)| differences(s))
            .min_by_key(Vec::len);
        match nearest {
            None => format!("{}: first call", wanted.kind),
            Some(d) => format!("{}: {}", wanted.kind, d.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    #[test]
    fn bounded_counted_explained() {
        let signature = |n: usize| Signature {
            kind: "train".into(),
            specs: vec![Spec::known(&[n, 3], DType::F32)],
            fixed: String::new(),
        };
        let mut cache = Cache::new(2);
        for n in [1, 2, 3] {
            assert!(cache.get(&signature(n)).is_none());
            cache.put(signature(n), n);
        }
        assert_eq!((cache.len(), cache.evictions, cache.misses), (2, 1, 3));
        assert_eq!(cache.get(&signature(3)), Some(3));
        assert!(cache.get(&signature(1)).is_none());
        let words: Vec<&str> = cache.explanations().collect();
        assert_eq!(words[0], "train: first call");
        assert_eq!(words[1], "train: argument 0: shape (2, 3) instead of (1, 3)");
    }
}
