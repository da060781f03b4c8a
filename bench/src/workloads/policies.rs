//! Reads manifests by tag as a user whose policy has ten statements with conditions, and as the administrator, whose requests no policy
//! is read for.

use super::manifests::{CONNECTIONS, images, push, read};
use crate::Result;
use crate::bench::{Bench, remove};
use crate::ecru;
use crate::http::Target;
use crate::report::{Goal, Report, Table, milliseconds, times};
use crate::sample::{Sample, Samples, ratio};
use serde_json::{Value, json};
use std::time::Duration;

const USER: &str = "reader";
/// The number of statements. Each has a condition on another key, and only the last one allows a read.
const STATEMENTS: usize = 10;
/// The least ratio of the user's requests per second to the administrator's.
const GOAL: f64 = 0.8;

/// Measures Ecru only, because docker-registry has no policies.
pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let span = if bench.quick { Duration::from_secs(2) } else { Duration::from_secs(10) };
    let directory = bench.directory.join("policies");
    remove(&directory)?;
    let server = bench.ecru.start(&directory)?;
    let images = images();
    push(&server, &images)?;
    let user = Target { authorization: format!("Basic {}", user_token(&server.target)?), ..server.target.clone() };
    let [mut of_administrator, mut of_user] = [(); 2].map(|()| Samples::default());
    for round in 0..bench.rounds {
        // The order is reversed in every second round.
        let mut callers = [(&server.target, &mut of_administrator), (&user, &mut of_user)];
        if round % 2 == 1 {
            callers.reverse();
        }
        for (target, samples) in callers {
            samples.0.push(server.measure(|_| read(target, &images, span))?);
        }
    }
    drop(server);

    let requests = ratio(&of_user, &of_administrator, Sample::rate);
    let goal = Goal::at_least("requests/s", GOAL, requests.of_medians);
    let head = ["caller", "requests/s", "p50 / p99", "CPU of a request", "ratio (of pairs)", "goal", "reached"];
    let title = format!("Authorization by policies: HEAD + GET of a manifest by tag, {CONNECTIONS} connections");
    let mut table = Table::new(&title, &head);
    table.rows.push(row("the administrator", &of_administrator, String::new(), &[]));
    let caller = format!("a user with {STATEMENTS} statements and conditions");
    table.rows.push(row(&caller, &of_user, times(requests), &[goal]));
    report.table(table);
    Ok(())
}

fn row(caller: &str, samples: &Samples, ratio: String, goals: &[Goal]) -> Vec<String> {
    let (p50, p99) = (samples.latency(0.5).unwrap_or_default(), samples.latency(0.99).unwrap_or_default());
    vec![
        caller.to_owned(),
        format!("{:.0}", samples.rate()),
        format!("{} / {} ms", milliseconds(p50), milliseconds(p99)),
        format!("{:.0} µs", samples.cpu_each() * 1e6),
        ratio,
        Goal::texts(goals),
        Goal::reached(goals),
    ]
}

/// Creates the user, and returns its token for docker.
fn user_token(target: &Target) -> Result<String> {
    let text = policy().to_string();
    ecru::call_iam(target, "CreateUser", &[("UserName", USER)])?;
    let policy = [("UserName", USER), ("PolicyName", "rights"), ("PolicyDocument", text.as_str())];
    ecru::call_iam(target, "PutUserPolicy", &policy)?;
    let created = ecru::call_iam(target, "CreateAccessKey", &[("UserName", USER)])?;
    let key = |member: &str| created["AccessKey"][member].as_str().ok_or("a key without a member").map(str::to_owned);
    ecru::token_of(target, &key("AccessKeyId")?, &key("SecretAccessKey")?)
}

/// A policy in which every statement must be evaluated: nine do not apply because of their conditions, and the last one allows.
fn policy() -> Value {
    let conditions = [
        ("Deny", json!({"NotIpAddress": {"aws:SourceIp": ["127.0.0.0/8", "::1/128"]}})),
        ("Deny", json!({"DateLessThan": {"aws:TokenIssueTime": "2020-01-01T00:00:00Z"}})),
        ("Deny", json!({"StringNotEquals": {"aws:RequestedRegion": ["us-east-1", "eu-west-1"]}})),
        ("Deny", json!({"StringEquals": {"ecr:ResourceTag/frozen": "true"}})),
        ("Deny", json!({"StringLike": {"aws:UserAgent": "*bad*robot*"}})),
        ("Deny", json!({"DateGreaterThan": {"aws:CurrentTime": "2100-01-01T00:00:00Z"}})),
        ("Allow", json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/deploy-*"}})),
        ("Allow", json!({"NumericLessThan": {"aws:EpochTime": "1000000000"}})),
        ("Allow", json!({"StringEquals": {"aws:PrincipalTag/team": "${aws:ResourceTag/team}"}})),
        ("Allow", json!({"StringEquals": {"aws:PrincipalAccount": "000000000000"}})),
    ];
    let statements: [Value; STATEMENTS] = conditions.map(|(effect, condition)| {
        json!({"Effect": effect, "Action": ["ecr:Get*", "ecr:BatchGetImage"], "Resource": "*", "Condition": condition})
    });
    json!({"Version": "2012-10-17", "Statement": statements})
}
