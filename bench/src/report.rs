//! The report of a run, as Markdown for the terminal and for docs/performance.md.

use crate::Result;
use crate::bench::WorkloadSamples;
use crate::sample::{Ratio, Sample, Samples, ratio};
use std::path::Path;
use std::time::Duration;

/// The unit of a workload's amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, reported in MB/s and in seconds of processor time per GiB.
    Bytes,
    /// Operations with a name in the plural, reported per second and in microseconds of processor time for one.
    Things(&'static str),
}

/// A goal, and whether it was reached.
pub struct Goal {
    pub text: String,
    pub reached: bool,
}

impl Goal {
    /// Checks a ratio that must be at least `goal`.
    pub fn at_least(of: &str, goal: f64, found: f64) -> Goal {
        Goal { text: format!("{of} ≥ {goal} × ({found:.2})"), reached: found >= goal }
    }

    /// Checks a ratio that must be at most `goal`.
    pub fn at_most(of: &str, goal: f64, found: f64) -> Goal {
        Goal { text: format!("{of} ≤ {goal} × ({found:.2})"), reached: found <= goal }
    }

    /// Checks a time that must not exceed `goal`.
    pub fn within(of: &str, goal: Duration, found: Duration) -> Goal {
        Goal {
            text: format!("{of} ≤ {} ms ({})", goal.as_secs_f64() * 1e3, milliseconds(found)),
            reached: found <= goal,
        }
    }

    /// Checks memory in bytes that must not exceed `goal_mib`.
    pub fn memory(goal_mib: u64, found: u64) -> Goal {
        Goal { text: format!("≤ {goal_mib} MiB ({})", mib(found)), reached: found <= goal_mib * 1024 * 1024 }
    }

    /// Returns the cell with the goals.
    pub fn texts(goals: &[Goal]) -> String {
        goals.iter().map(|goal| goal.text.as_str()).collect::<Vec<_>>().join("; ")
    }

    /// Returns the cell with `yes` or `no` for each goal.
    pub fn reached(goals: &[Goal]) -> String {
        if goals.is_empty() {
            return NONE.to_owned();
        }
        goals.iter().map(|goal| if goal.reached { "yes" } else { "no" }).collect::<Vec<_>>().join("; ")
    }
}

/// A table with a heading.
pub struct Table {
    pub title: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// All results of a run so far.
pub struct Report {
    machine: Table,
    /// The speed of each workload, a row for each.
    speeds: Table,
    /// The cost of each workload to the server, a row for each.
    costs: Table,
    /// The tables of workloads that do not fit the two above.
    more: Vec<Table>,
}

impl Report {
    pub fn new(machine: Table, peer: &str) -> Report {
        let speeds =
            ["workload", "Ecru", peer, "ratio (of pairs)", "p50 / p99 Ecru", "p50 / p99 peer", "goal", "reached"];
        let costs = [
            "workload",
            "CPU Ecru",
            "CPU peer",
            "ratio (of pairs)",
            "to bare loop",
            "to bare loop with O_DIRECT",
            "peak MiB Ecru",
            "peak MiB peer",
        ];
        Report {
            machine,
            speeds: Table::new("Workloads", &speeds),
            costs: Table::new("Cost: processor time and memory of the server", &costs),
            more: Vec::new(),
        }
    }

    /// Adds a workload to the comparison, and prints it.
    pub fn row(&mut self, work: &str, unit: Unit, turns: &WorkloadSamples, goals: &[Goal]) {
        let refused = turns.ecru.refused();
        let refused = if refused > 0 {
            format!(" ({refused} requests sent again, because Ecru was busy)")
        } else {
            String::new()
        };
        let work = &format!("{work}{refused}");
        for (table, row) in
            [(&mut self.speeds, speed(work, unit, turns, goals)), (&mut self.costs, cost(work, unit, turns))]
        {
            for (name, value) in table.head.iter().zip(&row) {
                println!("{name:>26}  {value}");
            }
            table.rows.push(row);
        }
        println!();
    }

    /// Adds a separate table, and prints it.
    pub fn table(&mut self, table: Table) {
        println!("{}", table.markdown());
        self.more.push(table);
    }

    pub fn markdown(&self) -> String {
        let tables = [&self.machine, &self.speeds, &self.costs].into_iter().chain(&self.more);
        tables.filter(|table| !table.rows.is_empty()).map(Table::markdown).collect::<Vec<_>>().join("\n")
    }
}

/// The cell of a value that was not measured.
pub const NONE: &str = "–";

fn speed(work: &str, unit: Unit, turns: &WorkloadSamples, goals: &[Goal]) -> Vec<String> {
    let latency = |samples: &Samples| match (samples.latency(0.5), samples.latency(0.99)) {
        (Some(p50), Some(p99)) => format!("{} / {} ms", milliseconds(p50), milliseconds(p99)),
        _ => NONE.to_owned(),
    };
    vec![
        work.to_owned(),
        unit.rate(turns.ecru.rate()),
        of(&turns.peer, |peer| unit.rate(peer.rate())),
        of(&turns.peer, |peer| times(ratio(&turns.ecru, peer, Sample::rate))),
        latency(&turns.ecru),
        latency(&turns.peer),
        Goal::texts(goals),
        Goal::reached(goals),
    ]
}

fn cost(work: &str, unit: Unit, turns: &WorkloadSamples) -> Vec<String> {
    let to = |samples: &Samples| times(ratio(&turns.ecru, samples, Sample::cpu_each));
    vec![
        work.to_owned(),
        unit.cpu(turns.ecru.cpu_each()),
        of(&turns.peer, |peer| unit.cpu(peer.cpu_each())),
        of(&turns.peer, to),
        of(&turns.bare, to),
        of(&turns.bare_direct, to),
        mib(turns.ecru.peak()),
        of(&turns.peer, |peer| mib(peer.peak())),
    ]
}

/// Returns the cell that `tell` writes, or [`NONE`] if there are no samples.
pub fn of(samples: &Samples, tell: impl FnOnce(&Samples) -> String) -> String {
    if samples.0.is_empty() { NONE.to_owned() } else { tell(samples) }
}

impl Unit {
    pub fn rate(self, rate: f64) -> String {
        match self {
            Unit::Bytes => format!("{:.0} MB/s", rate / 1e6),
            Unit::Things(name) => format!("{rate:.0} {name}/s"),
        }
    }

    pub fn cpu(self, seconds: f64) -> String {
        const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
        match self {
            Unit::Bytes => format!("{:.2} s/GiB", seconds * GIB),
            Unit::Things(_) => format!("{:.0} µs", seconds * 1e6),
        }
    }
}

pub fn times(ratio: Ratio) -> String {
    format!("{:.2} × ({:.2} to {:.2})", ratio.of_medians, ratio.least, ratio.most)
}

pub fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

pub fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / (1024.0 * 1024.0))
}

impl Table {
    pub fn new(title: &str, head: &[&str]) -> Table {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Table { title: title.to_owned(), head, rows: Vec::new() }
    }

    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = self.head.iter().map(|_| "---".to_owned()).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("#### {}\n\n{}{}{rows}", self.title, line(&self.head), line(&rule))
    }
}

/// Replaces the result between the marks with this name in a document.
pub fn write(path: &Path, name: &str, result: &str) -> Result<()> {
    let document = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let document = replaced(&document, name, result);
    let document = document.ok_or_else(|| format!("{} lacks the two marks of {name}", path.display()))?;
    Ok(std::fs::write(path, document)?)
}

fn replaced(document: &str, name: &str, result: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- bench {name}: begin -->\n"), format!("<!-- bench {name}: end -->\n"));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{result}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_has_a_cell_for_each_column_and_shows_which_goals_were_reached() {
        let turn =
            |rate: f64, cpu: f64| Samples(vec![Sample { amount: rate * 1e6, seconds: 1.0, cpu, ..Sample::default() }]);
        let turns = WorkloadSamples {
            ecru: turn(600.0, 1.0),
            peer: turn(300.0, 4.0),
            bare: turn(600.0, 0.5),
            ..WorkloadSamples::default()
        };
        let goals = [Goal::at_least("MB/s", 2.0, 2.0), Goal::at_most("CPU", 0.1, 0.125)];
        let (speed, cost) = (speed("push", Unit::Bytes, &turns, &goals), cost("push", Unit::Bytes, &turns));
        assert_eq!(speed[1..5], ["600 MB/s", "300 MB/s", "2.00 × (2.00 to 2.00)", NONE]);
        assert_eq!(speed[6..], ["MB/s ≥ 2 × (2.00); CPU ≤ 0.1 × (0.12)", "yes; no"]);
        assert_eq!(cost[3..6], ["0.12 × (0.12 to 0.12)", "2.00 × (2.00 to 2.00)", NONE]);
        let report = Report::new(Table::new("", &[]), "peer");
        assert_eq!((report.speeds.head.len(), report.costs.head.len()), (speed.len(), cost.len()));
    }

    #[test]
    fn a_result_replaces_only_the_previous_result() {
        let document = |result: &str| format!("a\n<!-- bench x: begin -->\n{result}<!-- bench x: end -->\nb\n");
        assert_eq!(replaced(&document("old\n"), "x", "new\n"), Some(document("new\n")));
        assert_eq!(replaced(&document("old\n"), "y", "new\n"), None);
    }
}
