//! Makes small GGUF files: a header as the format has it, and a model of one layer in f32.

/// A metadata value.
#[derive(Clone)]
pub(crate) enum Item {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

/// A tensor: name, axes innermost first, GGML type, data.
#[derive(Clone)]
pub(crate) struct Data(pub(crate) String, pub(crate) Vec<u64>, pub(crate) u32, pub(crate) Vec<u8>);

#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) version: u32,
    pub(crate) entries: Vec<(String, Item)>,
    pub(crate) tensors: Vec<Data>,
}

pub(crate) fn text(text: &str) -> Item {
    Item::Text(text.into())
}

impl Writer {
    /// One layer, hidden 8, two heads of 4 over one key/value head, inner 6, all f32.
    pub(crate) fn model(tokens: &[&str]) -> Self {
        let v = tokens.len() as u64;
        let shapes = [
            ("token_embd.weight", vec![8, v]),
            ("blk.0.attn_norm.weight", vec![8]),
            ("blk.0.attn_q.weight", vec![8, 8]),
            ("blk.0.attn_k.weight", vec![8, 4]),
            ("blk.0.attn_v.weight", vec![8, 4]),
            ("blk.0.attn_output.weight", vec![8, 8]),
            ("blk.0.ffn_norm.weight", vec![8]),
            ("blk.0.ffn_gate.weight", vec![8, 6]),
            ("blk.0.ffn_up.weight", vec![8, 6]),
            ("blk.0.ffn_down.weight", vec![6, 8]),
            ("output_norm.weight", vec![8]),
        ];
        let ramp = |n: u64| (0..n).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let tensors = shapes.map(|(name, axes)| Data(name.into(), axes.clone(), 0, ramp(axes.iter().product())));
        let mut writer = Self { version: 3, entries: vec![], tensors: tensors.into() };
        for (key, item) in [
            ("general.architecture", text("llama")),
            ("llama.embedding_length", Item::U32(8)),
            ("llama.block_count", Item::U32(1)),
            ("llama.feed_forward_length", Item::U32(6)),
            ("llama.attention.head_count", Item::U32(2)),
            ("llama.attention.head_count_kv", Item::U32(1)),
            ("llama.attention.layer_norm_rms_epsilon", Item::F32(1e-5)),
            ("llama.context_length", Item::U32(32)),
            ("tokenizer.ggml.tokens", Item::Texts(tokens.iter().map(ToString::to_string).collect())),
        ] {
            writer.set(key, item);
        }
        writer
    }

    /// Adds or replaces a metadata entry.
    pub(crate) fn set(&mut self, key: &str, item: Item) {
        self.entries.retain(|(k, _)| k != key);
        self.entries.push((key.into(), item));
    }

    pub(crate) fn tensor(&mut self, name: &str) -> &mut Data {
        self.tensors.iter_mut().find(|t| t.0 == name).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.entries.len() as u64).to_le_bytes());
        for (key, item) in &self.entries {
            string(&mut out, key);
            value(&mut out, item);
        }
        let mut offset = 0;
        for Data(name, axes, code, data) in &self.tensors {
            string(&mut out, name);
            out.extend((axes.len() as u32).to_le_bytes());
            out.extend(axes.iter().flat_map(|d| d.to_le_bytes()));
            out.extend(code.to_le_bytes());
            out.extend((offset as u64).to_le_bytes());
            offset += data.len().next_multiple_of(32);
        }
        for Data(.., data) in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(data);
        }
        out
    }

    /// Writes the file into `dir`.
    pub(crate) fn write(&self, dir: &std::path::Path) -> std::path::PathBuf {
        let path = dir.join("model.gguf");
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn value(out: &mut Vec<u8>, item: &Item) {
    let code = |out: &mut Vec<u8>, n: u32| out.extend(n.to_le_bytes());
    let list = |out: &mut Vec<u8>, kind: u32, len: usize| {
        out.extend([9u32.to_le_bytes(), kind.to_le_bytes()].concat());
        out.extend((len as u64).to_le_bytes());
    };
    match item {
        Item::U32(v) => {
            code(out, 4);
            out.extend(v.to_le_bytes());
        }
        Item::F32(v) => {
            code(out, 6);
            out.extend(v.to_le_bytes());
        }
        Item::Bool(v) => {
            code(out, 7);
            out.push(u8::from(*v));
        }
        Item::Text(v) => {
            code(out, 8);
            string(out, v);
        }
        Item::Texts(all) => {
            list(out, 8, all.len());
            all.iter().for_each(|v| string(out, v));
        }
        Item::I32s(all) => {
            list(out, 5, all.len());
            out.extend(all.iter().flat_map(|v| v.to_le_bytes()));
        }
        Item::F32s(all) => {
            list(out, 6, all.len());
            out.extend(all.iter().flat_map(|v| v.to_le_bytes()));
        }
    }
}
