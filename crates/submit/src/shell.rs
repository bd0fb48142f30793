//! Words for a POSIX shell, and what a script does with a program that may be stopped.

/// A word that a shell reads as it is. Plain words stay bare.
pub(crate) fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A command as a line of a script.
pub(crate) fn command(words: &[&str]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// `run COMMAND` runs it, waits for its end whatever signals come meanwhile, and leaves its status in `status`; `stop` asks
/// it to end, and is what to trap: a shell is told of no signal while a program runs in the foreground.
pub(crate) const RUN: &str = r#"warned= child=
stop() {
  warned=yes
  [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}
run() {
  "$@" &
  child=$!
  [ -z "$warned" ] || kill -TERM "$child" 2>/dev/null
  # A signal ends `wait` too, with a status of its own.
  while wait "$child"; status=$?; kill -0 "$child" 2>/dev/null; do :; done
  wait "$child" 2>/dev/null
  again=$?
  # A shell that has forgotten the child says 127.
  [ "$again" = 127 ] || status=$again
  child=
}
"#;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn words_come_back_from_a_shell() {
        let words = [
            "a",
            "",
            "two words",
            "it's",
            "\"$HOME\" `id` $(id) \\",
            "line\nbreak",
            "é 中",
            "-x=1",
            "*",
            "~",
            "#",
            "a=b",
        ];
        for shell in ["bash", "sh"] {
            let script = format!("printf '%s\\0' {}", command(&words));
            let output = Command::new(shell).args(["-c", &script]).output().unwrap();
            assert_eq!(
                String::from_utf8(output.stdout).unwrap(),
                words.map(|word| format!("{word}\0")).concat(),
                "{shell}"
            );
        }
    }

    /// A signal to the shell is passed on, and the status is the program's own.
    #[test]
    fn a_stopped_program_is_waited_for() {
        let stopped = "trap 'sleep 0.2; exit 143' TERM; sleep 0.2; kill -USR1 $PPID; sleep 5 & wait";
        for shell in ["bash", "sh"] {
            for (program, want) in [("exit 3", 3), ("exit 0", 0), (stopped, 143)] {
                let script = format!("{RUN}trap stop USR1\nrun sh -c {}\nexit $status", quote(program));
                let status = Command::new(shell).args(["-c", &script]).status().unwrap();
                assert_eq!(status.code(), Some(want), "{shell}: {program}");
            }
        }
    }
}
