//! `ecru push-log`: what was pushed to a repository and what was refused, by whom and why.

use super::client::{Client, ClientError, ServerArgs};
use admin::{ListPushLogOutput, PushLogLine, PushLogOutcome, PushLogRefusal};
use jiff::Timestamp;
use serde_json::json;

/// Lines of one answer at most: ListPushLog's own limit.
const PAGE: u32 = 1000;

/// Shows what was pushed to a repository and what was refused, newest first, with the caller's AWS credentials.
#[derive(Debug, clap::Args)]
pub struct PushLog {
    #[command(flatten)]
    pub query: Query,
    /// The lines as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Which lines of the log.
#[derive(Debug, clap::Args)]
pub struct Query {
    /// The repository, such as team/app.
    pub repository: String,
    /// Only what was refused.
    #[arg(long)]
    pub refused: bool,
    /// Lines at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// The account whose registry has the repository; the caller's where none is named.
    #[arg(long, value_name = "ACCOUNT")]
    pub registry_id: Option<String>,
}

impl PushLog {
    /// Asks a running server, and puts the answer into a table that a person reads, or into JSON.
    pub async fn run(self) -> Result<String, ClientError> {
        let PushLog { server, query, json } = self;
        let client = server.client(&|name| std::env::var(name).ok())?;
        let lines = query.lines(&client).await?;
        Ok(match (json, lines.is_empty()) {
            (true, _) => format!("{:#}\n", json!({ "lines": lines })),
            (false, true) => query.nothing(),
            (false, false) => table(&lines),
        })
    }
}

impl Query {
    /// As many lines as there are, up to the limit.
    async fn lines(&self, client: &Client) -> Result<Vec<PushLogLine>, ClientError> {
        let (mut lines, mut token): (Vec<PushLogLine>, Option<String>) = (Vec::new(), None);
        loop {
            let wanted = self.limit.saturating_sub(u32::try_from(lines.len()).unwrap_or(u32::MAX));
            let input = json!({
                "registryId": self.registry_id,
                "repositoryName": self.repository,
                "refusedOnly": self.refused,
                "maxResults": wanted.min(PAGE),
                "nextToken": token,
            });
            let page: ListPushLogOutput = client.call("ListPushLog", &input).await?;
            lines.extend(page.lines);
            token = page.next_token;
            if token.is_none() || lines.len() >= self.limit as usize {
                return Ok(lines);
            }
        }
    }

    fn nothing(&self) -> String {
        let name = &self.repository;
        match self.refused {
            true => format!("No push to {name} was refused.\n"),
            false => format!("Nothing was pushed to {name}, and no push was refused.\n"),
        }
    }
}

const HEADINGS: [&str; 5] = ["TIME", "OUTCOME", "IMAGE", "BY", "FROM"];

/// A line for each push, with what there is to explain below it.
fn table(lines: &[PushLogLine]) -> String {
    let rows: Vec<[String; 5]> = lines.iter().map(row).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = written(HEADINGS, widths);
    for (row, line) in rows.iter().zip(lines) {
        text.push_str(&written(row.each_ref().map(String::as_str), widths));
        if let Some(why) = why(line) {
            text.push_str(&format!("    {why}\n"));
        }
    }
    text
}

fn written(cells: [&str; 5], widths: [usize; 5]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&format!("{cell:width$}  "));
    }
    format!("{}\n", line.trim_end())
}

fn row(line: &PushLogLine) -> [String; 5] {
    let outcome = match (line.outcome, &line.refusal) {
        (PushLogOutcome::Pushed, _) => "pushed".to_owned(),
        (PushLogOutcome::TagKept, _) => "tag kept".to_owned(),
        (PushLogOutcome::Refused, Some(refusal)) if refusal.times > 1 => format!("refused {} times", refusal.times),
        (PushLogOutcome::Refused, _) => "refused".to_owned(),
    };
    let image: Vec<String> =
        [line.image_tag.clone(), line.image_digest.as_deref().map(short)].into_iter().flatten().collect();
    let agent = line.user_agent.as_deref().and_then(|agent| agent.split(' ').next()).unwrap_or_default();
    let from = [line.source_address.as_deref().unwrap_or_default(), agent].join(" ");
    let cells = [moment(line.at), outcome, image.join(" "), line.principal_arn.clone(), from.trim().to_owned()];
    cells.map(|cell| if cell.is_empty() { "-".to_owned() } else { cell })
}

/// Why a push was refused and what cures it, or what became of the tag.
fn why(line: &PushLogLine) -> Option<String> {
    let held = line.held_image_digest.as_deref().map(short);
    match (line.outcome, &line.refusal, held) {
        (PushLogOutcome::Refused, Some(refusal), _) => {
            let PushLogRefusal { action, status_code, error_code, message, times, first_at } = refusal;
            // Before the message, since that may end with a command to copy.
            let since = if *times > 1 { format!(" since {}", moment(*first_at)) } else { String::new() };
            Some(format!("{action}{since}: {status_code} {error_code}: {message}"))
        }
        (PushLogOutcome::TagKept, _, Some(held)) => {
            Some(format!("the image is stored; the immutable tag holds {held} as before"))
        }
        (PushLogOutcome::Pushed, _, Some(held)) => Some(format!("the tag held {held} before")),
        _ => None,
    }
}

/// `sha256:0123456789ab`
fn short(digest: &str) -> String {
    const HASH: usize = 12;
    match digest.split_once(':') {
        Some((algorithm, hash)) => format!("{algorithm}:{}", hash.get(..HASH).unwrap_or(hash)),
        None => digest.to_owned(),
    }
}

/// `2026-11-21T10:00:00Z`
fn moment(at: aws::Timestamp) -> String {
    Timestamp::from_microsecond(at.0).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(outcome: PushLogOutcome) -> PushLogLine {
        PushLogLine {
            at: aws::Timestamp(1_795_258_800_000_000),
            outcome,
            principal_arn: "arn:aws:iam::000000000000:root".to_owned(),
            source_address: Some("10.1.2.3".to_owned()),
            user_agent: Some("docker/26.1.5 go/go1.22".to_owned()),
            request_id: None,
            image_tag: Some("v1".to_owned()),
            image_digest: Some(format!("sha256:{}", "a".repeat(64))),
            held_image_digest: None,
            refusal: None,
        }
    }

    fn refused(times: u64) -> PushLogLine {
        let refusal = PushLogRefusal {
            action: "PUT manifest".to_owned(),
            status_code: 400,
            error_code: "TAG_INVALID".to_owned(),
            message: "It is immutable. Push another tag".to_owned(),
            times,
            first_at: aws::Timestamp(1_795_255_200_000_000),
        };
        PushLogLine { image_digest: None, refusal: Some(refusal), ..line(PushLogOutcome::Refused) }
    }

    #[test]
    fn each_line_says_when_what_who_and_whence_and_below_it_why() {
        let held = || Some(format!("sha256:{}", "b".repeat(64)));
        let lines = [
            refused(12),
            refused(1),
            PushLogLine { held_image_digest: held(), ..line(PushLogOutcome::TagKept) },
            PushLogLine { held_image_digest: held(), ..line(PushLogOutcome::Pushed) },
            PushLogLine { image_tag: None, source_address: None, user_agent: None, ..line(PushLogOutcome::Pushed) },
        ];
        let expected = "\
TIME                  OUTCOME           IMAGE                   BY                              FROM
2026-11-21T11:00:00Z  refused 12 times  v1                      arn:aws:iam::000000000000:root  10.1.2.3 docker/26.1.5
    PUT manifest since 2026-11-21T10:00:00Z: 400 TAG_INVALID: It is immutable. Push another tag
2026-11-21T11:00:00Z  refused           v1                      arn:aws:iam::000000000000:root  10.1.2.3 docker/26.1.5
    PUT manifest: 400 TAG_INVALID: It is immutable. Push another tag
2026-11-21T11:00:00Z  tag kept          v1 sha256:aaaaaaaaaaaa  arn:aws:iam::000000000000:root  10.1.2.3 docker/26.1.5
    the image is stored; the immutable tag holds sha256:bbbbbbbbbbbb as before
2026-11-21T11:00:00Z  pushed            v1 sha256:aaaaaaaaaaaa  arn:aws:iam::000000000000:root  10.1.2.3 docker/26.1.5
    the tag held sha256:bbbbbbbbbbbb before
2026-11-21T11:00:00Z  pushed            sha256:aaaaaaaaaaaa     arn:aws:iam::000000000000:root  -
";
        assert_eq!(table(&lines), expected);
    }
}
