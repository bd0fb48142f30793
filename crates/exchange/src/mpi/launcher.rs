//! Who started this process, by the variables that launchers set, and whose library that asks for.

/// Names the file of the MPI library, whatever the launcher.
pub const VARIABLE: &str = "TUNEBENCH_MPI";

/// A way of starting ranks.
#[derive(Debug)]
pub struct Launcher {
    /// For messages.
    pub name: &'static str,
    /// It sets this variable.
    mark: &'static str,
    /// How many ranks there are, where it says so.
    count: &'static str,
    /// How many of them on this machine, where it says so.
    here: &'static str,
    /// The libraries that know it, the likeliest first.
    pub files: &'static [&'static str],
}

impl Launcher {
    /// How many ranks it says that there are.
    pub fn ranks(&self) -> Option<usize> {
        std::env::var(self.count).ok()?.parse().ok()
    }
}

/// Open MPI 2 to 5.
const OPEN_MPI: &str = "libmpi.so.40";
/// The common name within MPICH's ABI (MPICH, Intel MPI, MVAPICH, Cray), and Debian's.
const MPICH: [&str; 2] = ["libmpi.so.12", "libmpich.so.12"];

/// The more telling first: what Open MPI's launcher starts speaks PMIx, too.
const LAUNCHERS: [Launcher; 3] = [
    Launcher {
        name: "Open MPI's launcher",
        mark: "OMPI_COMM_WORLD_RANK",
        count: "OMPI_COMM_WORLD_SIZE",
        here: "OMPI_COMM_WORLD_LOCAL_SIZE",
        files: &[OPEN_MPI],
    },
    Launcher {
        name: "a launcher of MPICH's kind (PMI)",
        mark: "PMI_RANK",
        count: "PMI_SIZE",
        here: "MPI_LOCALNRANKS",
        files: &MPICH,
    },
    Launcher {
        name: "a launcher of Open MPI's kind (PMIx)",
        mark: "PMIX_RANK",
        count: "SLURM_STEP_NUM_TASKS",
        here: "SLURM_STEP_TASKS_PER_NODE",
        files: &[OPEN_MPI, MPICH[0], MPICH[1]],
    },
];

/// The launcher that started several of us; none where nobody did, or one of us.
pub fn seen(variable: impl Fn(&str) -> Option<String>) -> Option<&'static Launcher> {
    let launcher = marked(&variable)?;
    (variable(launcher.count).as_deref() != Some("1")).then_some(launcher)
}

/// The launcher whose mark is there.
fn marked(variable: &impl Fn(&str) -> Option<String>) -> Option<&'static Launcher> {
    LAUNCHERS.iter().find(|launcher| variable(launcher.mark).is_some())
}

/// How many tasks Slurm started of us without telling any MPI of them.
pub fn without_mpi(variable: impl Fn(&str) -> Option<String>) -> Option<usize> {
    variable("SLURM_PROCID").filter(|_| marked(&variable).is_none())?;
    variable("SLURM_STEP_NUM_TASKS")?.parse().ok().filter(|tasks| *tasks > 1)
}

/// How many ranks the launcher started on this machine; one where it does not say, or no launcher did.
pub fn here(variable: impl Fn(&str) -> Option<String>) -> usize {
    // Slurm's kind counts for each node: 2(x3),1 is two on each of three and one on a fourth. This may be the fullest.
    let count = |text: String| {
        let of_node = |part: &str| part.split_once("(x").map_or(part, |(count, _)| count).parse().ok();
        text.split(',').filter_map(of_node).max()
    };
    let said = marked(&variable)
        .and_then(|launcher| variable(launcher.here).or_else(|| variable("SLURM_STEP_TASKS_PER_NODE")));
    said.and_then(count).filter(|count| *count > 0).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An environment of these variables alone.
    fn environment(set: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| set.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn a_launcher_is_known_by_its_variables() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);
        let cases: [Case<'_>; 7] = [
            (&[], None),
            (&[("SLURM_PROCID", "1"), ("SLURM_NTASKS", "4")], None),
            (&[("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "1"), ("PMIX_RANK", "0")], None),
            (&[("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2"), ("PMIX_RANK", "1")], Some(OPEN_MPI)),
            (&[("PMI_RANK", "0"), ("PMI_SIZE", "3")], Some(MPICH[0])),
            (&[("PMI_RANK", "0"), ("PMI_SIZE", "1")], None),
            (&[("PMIX_RANK", "0"), ("SLURM_STEP_NUM_TASKS", "2")], Some(OPEN_MPI)),
        ];
        for (set, file) in cases {
            assert_eq!(seen(environment(set)).map(|launcher| launcher.files[0]), file, "{set:?}");
        }
    }

    #[test]
    fn a_launcher_says_how_many_are_here() {
        type Case<'a> = (&'a [(&'a str, &'a str)], usize);
        let slurm = |text: &'static str| [("PMI_RANK", "0"), ("SLURM_STEP_TASKS_PER_NODE", text)];
        let cases: [Case<'_>; 8] = [
            (&[], 1),
            (&[("SLURM_STEP_TASKS_PER_NODE", "4")], 1),
            (&[("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_LOCAL_SIZE", "3")], 3),
            (&[("PMI_RANK", "0"), ("MPI_LOCALNRANKS", "2")], 2),
            (&[("PMI_RANK", "0"), ("MPI_LOCALNRANKS", "0")], 1),
            (&slurm("2(x3)"), 2),
            (&slurm("4"), 4),
            (&slurm("2,1(x2)"), 2),
        ];
        for (set, here_is) in cases {
            assert_eq!(here(environment(set)), here_is, "{set:?}");
        }
    }

    #[test]
    fn tasks_of_slurm_without_mpi_are_seen() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<usize>);
        let cases: [Case<'_>; 4] = [
            (&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "4")], None),
            (&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")], None),
            (&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "4")], Some(4)),
            (&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "4"), ("PMIX_RANK", "0")], None),
        ];
        for (set, tasks) in cases {
            assert_eq!(without_mpi(environment(set)), tasks, "{set:?}");
        }
    }
}
