//! Plugins that never answer, in the real executable: each is given up after its timeout, and named with the step.

use crate::plugin_faults::{Study, errors, tunebench};
use crate::support;

/// Seconds after which a plugin is given up here: long beside what a sound call takes on a machine that has much else to
/// do, so that it is the plugin told to hang that is given up, and no other.
const TIMEOUT: &str = "10";

/// What never ends: a command and more of its arguments, the kind of the plugin, its misdeed, and the step that is named.
const ENDLESS: [(&[&str], &str, &str, &str); 5] = [
    (&["plan"], "tuner", "endless-plan", "recording its graphs"),
    (&["plan"], "tuner", "endless-forward", "recording its graphs"),
    (&["plan"], "tuner", "endless-drop", "being dropped"),
    (&["labels"], "dataset", "endless-next", "reading rows"),
    (&["study", "--only", "sound"], "judge", "endless-step", "judging"),
];

/// All at once, since they do nothing but wait: each in this process and in one of its own, with the same message.
#[test]
fn a_plugin_that_never_answers_is_given_up() {
    let timeout = ["--plugin-timeout", TIMEOUT];
    let given_up = format!("no answer within {TIMEOUT} s");
    std::thread::scope(|scope| {
        for (command, kind, misdeed, step) in ENDLESS {
            let given_up = &given_up;
            let run = move |isolated: &[&str]| {
                let study = Study::new();
                let more = [&command[1..], &timeout, isolated].concat();
                let (status, said) = study.run(command[0], kind, misdeed, &more);
                let error = errors(&said).lines().next_back().unwrap_or_default().to_owned();
                assert_eq!(status, Some(1), "{kind} {misdeed}: {said}");
                for want in [step, given_up, "--plugin-timeout", "stress"] {
                    assert!(error.contains(want), "{kind} {misdeed}: no {want:?} in: {said}");
                }
                error
            };
            let (here, apart) = (scope.spawn(move || run(&[])), scope.spawn(move || run(&["--isolate"])));
            scope.spawn(move || assert_eq!(here.join().unwrap(), apart.join().unwrap(), "{kind} {misdeed}"));
        }
        // An initialiser that never ends is given up too, and the program ends all the same.
        for isolated in [&[][..], &["--isolate"]] {
            let given_up = &given_up;
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let slow = support::third_party("stress-slow");
                let arguments = [&["plugins", "check", slow.to_str().unwrap()], &timeout[..], isolated].concat();
                let (status, said) = tunebench(folder.path(), &arguments);
                assert!(status == Some(1) && said.contains(&format!("loading: {given_up}")), "{said}");
            });
        }
    });
}
