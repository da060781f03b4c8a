//! What a run found, as Markdown: for the terminal, and for docs/performance.md.
use crate::Result;
use crate::bench::Turns;
use crate::sample::{Ratio, Sample, Samples, ratio};
use std::path::Path;
use std::time::Duration;

/// What a work moves or does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes: MB/s, and seconds of processor time for a GiB.
    Bytes,
    /// Things by their name in the plural: so many a second, and microseconds of processor time for one.
    Things(&'static str),
}

/// What is to be reached, and whether it was.
pub struct Goal {
    pub text: String,
    pub reached: bool,
}

impl Goal {
    /// A ratio that must be this at least.
    pub fn at_least(of: &str, goal: f64, found: f64) -> Goal {
        Goal { text: format!("{of} ≥ {goal} × ({found:.2})"), reached: found >= goal }
    }

    /// A ratio that must be this at most.
    pub fn at_most(of: &str, goal: f64, found: f64) -> Goal {
        Goal { text: format!("{of} ≤ {goal} × ({found:.2})"), reached: found <= goal }
    }

    /// A time that must not be exceeded.
    pub fn within(of: &str, goal: Duration, found: Duration) -> Goal {
        Goal {
            text: format!("{of} ≤ {} ms ({})", goal.as_secs_f64() * 1e3, milliseconds(found)),
            reached: found <= goal,
        }
    }

    /// Memory that must not be exceeded.
    pub fn memory(goal_mib: u64, found: u64) -> Goal {
        Goal { text: format!("≤ {goal_mib} MiB ({})", mib(found)), reached: found <= goal_mib * 1024 * 1024 }
    }

    /// The cell that names the goals.
    pub fn texts(goals: &[Goal]) -> String {
        goals.iter().map(|goal| goal.text.as_str()).collect::<Vec<_>>().join("; ")
    }

    /// The cell that says of each whether it was reached.
    pub fn reached(goals: &[Goal]) -> String {
        if goals.is_empty() {
            return NONE.to_owned();
        }
        goals.iter().map(|goal| if goal.reached { "yes" } else { "no" }).collect::<Vec<_>>().join("; ")
    }
}

/// A table under a heading.
pub struct Table {
    pub title: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// All that a run has found so far.
pub struct Report {
    machine: Table,
    /// The comparison: a row for each work.
    works: Table,
    /// What they cost, row by row.
    costs: Table,
    /// What is not a comparison of works.
    more: Vec<Table>,
}

impl Report {
    pub fn new(machine: Table, peer: &str) -> Report {
        let works = ["work", "Ecru", peer, "ratio (of pairs)", "p50 / p99 Ecru", "p50 / p99 peer", "goal", "reached"];
        let costs = [
            "work",
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
            works: Table::new("Works", &works),
            costs: Table::new("Their cost: processor time and memory of the server", &costs),
            more: Vec::new(),
        }
    }

    /// Adds a work of the comparison, and shows it.
    pub fn row(&mut self, work: &str, unit: Unit, turns: &Turns, goals: &[Goal]) {
        let refused = turns.ecru.refused();
        let refused =
            if refused > 0 { format!(" ({refused} times refused as busy, and asked again)") } else { String::new() };
        let work = &format!("{work}{refused}");
        for (table, row) in
            [(&mut self.works, speed(work, unit, turns, goals)), (&mut self.costs, cost(work, unit, turns))]
        {
            for (name, value) in table.head.iter().zip(&row) {
                println!("{name:>26}  {value}");
            }
            table.rows.push(row);
        }
        println!();
    }

    /// Adds a table of its own, and shows it.
    pub fn table(&mut self, table: Table) {
        println!("{}", table.markdown());
        self.more.push(table);
    }

    pub fn markdown(&self) -> String {
        let tables = [&self.machine, &self.works, &self.costs].into_iter().chain(&self.more);
        tables.filter(|table| !table.rows.is_empty()).map(Table::markdown).collect::<Vec<_>>().join("\n")
    }
}

/// What stands where nothing was measured.
pub const NONE: &str = "–";

fn speed(work: &str, unit: Unit, turns: &Turns, goals: &[Goal]) -> Vec<String> {
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

fn cost(work: &str, unit: Unit, turns: &Turns) -> Vec<String> {
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

/// What is told of turns, if there were any.
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

/// Puts a result between the marks of a document that have its name, in the place of the one before.
pub fn write(path: &Path, name: &str, result: &str) -> Result<()> {
    let document = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let document = replaced(&document, name, result);
    let document = document.ok_or_else(|| format!("{} has not the two marks of {name}", path.display()))?;
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
    fn a_work_has_a_cell_for_each_name_and_says_what_was_reached() {
        let turn =
            |rate: f64, cpu: f64| Samples(vec![Sample { amount: rate * 1e6, seconds: 1.0, cpu, ..Sample::default() }]);
        let turns =
            Turns { ecru: turn(600.0, 1.0), peer: turn(300.0, 4.0), bare: turn(600.0, 0.5), ..Turns::default() };
        let goals = [Goal::at_least("MB/s", 2.0, 2.0), Goal::at_most("CPU", 0.1, 0.125)];
        let (speed, cost) = (speed("push", Unit::Bytes, &turns, &goals), cost("push", Unit::Bytes, &turns));
        assert_eq!(speed[1..5], ["600 MB/s", "300 MB/s", "2.00 × (2.00 to 2.00)", NONE]);
        assert_eq!(speed[6..], ["MB/s ≥ 2 × (2.00); CPU ≤ 0.1 × (0.12)", "yes; no"]);
        assert_eq!(cost[3..6], ["0.12 × (0.12 to 0.12)", "2.00 × (2.00 to 2.00)", NONE]);
        let report = Report::new(Table::new("", &[]), "peer");
        assert_eq!((report.works.head.len(), report.costs.head.len()), (speed.len(), cost.len()));
    }

    #[test]
    fn a_result_takes_the_place_of_the_one_before_and_of_nothing_else() {
        let document = |result: &str| format!("a\n<!-- bench x: begin -->\n{result}<!-- bench x: end -->\nb\n");
        assert_eq!(replaced(&document("old\n"), "x", "new\n"), Some(document("new\n")));
        assert_eq!(replaced(&document("old\n"), "y", "new\n"), None);
    }
}
