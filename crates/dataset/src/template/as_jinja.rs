//! A named template as Jinja, for whoever loads what was trained with it: transformers, llama.cpp, vLLM.

use crate::template::parts::{Frame, Part, System, Template};

impl Template {
    /// The same conversation in Jinja, as `tokenizer_config.json` and GGUF files hold it. It takes `messages` with texts as
    /// contents, `add_generation_prompt`, `bos_token` and `eos_token`, and nothing that only some engines have. `adds_bos`
    /// writes a BOS first where the template itself does not.
    pub fn as_jinja(&self, adds_bos: bool) -> String {
        let content = if self.trim { "message['content'] | trim" } else { "message['content']" };
        let mut out = String::new();
        if adds_bos && !self.begins_with_bos() {
            out.push_str("{{ bos_token }}");
        }
        out.push_str(&parts(self.first));
        if let (Some(said), System::Turn(frame)) = (self.default_system, &self.system) {
            let condition = "{% if not messages or messages[0]['role'] != 'system' %}";
            let turn = framed(frame, &literal(said));
            out.push_str(&format!("{condition}{turn}{}{{% endif %}}", parts(self.between)));
        }
        out.push_str("{% set ns = namespace(system='') %}{% for message in messages %}");
        let between = parts(self.between);
        if !between.is_empty() {
            out.push_str(&format!("{{% if not loop.first %}}{between}{{% endif %}}"));
        }
        out.push_str("{% if message['role'] == 'system' %}");
        let user_content = match &self.system {
            System::Turn(frame) => {
                out.push_str(&framed(frame, &format!("{{{{ {content} }}}}")));
                format!("{{{{ {content} }}}}")
            }
            System::InUser { before, after } => {
                let set = format!("{} ~ ({content}) ~ {}", quoted(before), quoted(after));
                out.push_str(&format!("{{% set ns.system = {set} %}}"));
                format!("{{{{ ns.system }}}}{{% set ns.system = '' %}}{{{{ {content} }}}}")
            }
        };
        out.push_str("{% elif message['role'] == 'user' %}");
        if let Some((text, frame)) = &self.user_holding {
            let condition = format!("{{% if {} in message['content'] %}}", quoted(text));
            out.push_str(&format!("{condition}{}{{% else %}}", framed(frame, &user_content)));
        }
        out.push_str(&framed(&self.user, &user_content));
        if self.user_holding.is_some() {
            out.push_str("{% endif %}");
        }
        out.push_str("{% elif message['role'] == 'assistant' %}");
        out.push_str(&framed(&self.assistant, &format!("{{{{ {content} }}}}")));
        out.push_str("{% endif %}{% endfor %}{% if add_generation_prompt %}");
        out.push_str(&between);
        out.push_str(&parts(self.assistant.before));
        let last = parts(self.last);
        if !last.is_empty() {
            out.push_str(&format!("{{% else %}}{last}"));
        }
        out.push_str("{% endif %}");
        out
    }

    /// Whether a BOS is the first that it writes.
    fn begins_with_bos(&self) -> bool {
        let first = self.first.first().or(self.user.before.first());
        matches!(first, Some(Part::Bos | Part::Token("<|begin_of_text|>")))
    }
}

fn framed(frame: &Frame, content: &str) -> String {
    [parts(frame.before), literal(frame.start), content.to_owned(), parts(frame.end), parts(frame.after)].concat()
}

fn parts(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) | Part::Token(text) => literal(text),
        Part::Bos => "{{ bos_token }}".to_owned(),
        Part::Eos => "{{ eos_token }}".to_owned(),
    };
    parts.iter().map(part).collect()
}

/// A text as what Jinja writes: in quotes, so that no white space is trimmed.
fn literal(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{{{{ {} }}}}", quoted(text)) }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"))
}
