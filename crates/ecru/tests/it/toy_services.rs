//! Services that the pipeline has never heard of: registered by their tables alone, with nested outputs, lists of structures and
//! errors of their own.

use aws::Timestamp;
use call::{Api, Entry, Exception, JsonVersion, Operation, Protocol, Service};
use http::StatusCode;
use kernel::access::Need;
use kernel::{CommonError, Constraint, Cx, Fault, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::marker::PhantomData;
use testkit::TestApp;
use testkit::http::{Answer, Call};

/// How an operation of a toy fails.
#[derive(Debug, thiserror::Error)]
enum ToyError {
    #[error(transparent)]
    Common(#[from] CommonError),
    #[error("There is no toy named {0}")]
    NoSuchToy(String),
}

impl Fault for ToyError {
    fn common(&self) -> Option<&CommonError> {
        if let ToyError::Common(common) = self { Some(common) } else { None }
    }
}

/// A service, and how its clients read its one error.
trait Toy: Send + 'static {
    const NO_SUCH_TOY: (&'static str, StatusCode);
}

struct QueryToy;
impl Toy for QueryToy {
    const NO_SUCH_TOY: (&'static str, StatusCode) = ("NoSuchEntity", StatusCode::NOT_FOUND);
}

struct JsonToy;
impl Toy for JsonToy {
    const NO_SUCH_TOY: (&'static str, StatusCode) = ("NoSuchToyException", StatusCode::BAD_REQUEST);
}

impl<T: Toy> Api for OfToy<T> {
    type Error = ToyError;
    type Attempt = ();

    fn exception(error: &ToyError) -> Exception {
        let (name, status) = T::NO_SUCH_TOY;
        match error {
            ToyError::Common(_) => Exception::internal_failure(),
            ToyError::NoSuchToy(toy) => Exception::new(name, status).with("toyName", toy.as_str()),
        }
    }
}

struct OfToy<T>(PhantomData<T>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", bound = "")]
struct DescribeToys<T> {
    names: Vec<String>,
    #[serde(default)]
    filter: Option<Filter>,
    #[serde(skip)]
    toy: PhantomData<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    min_age: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Toys {
    toys: Vec<ToyOut>,
    maker: Maker,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ToyOut {
    name: String,
    age: i64,
    made_at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Maker {
    account: String,
    is_open: bool,
}

impl<T: Toy> Operation for DescribeToys<T> {
    const NAME: &'static str = "DescribeToys";
    type Api = OfToy<T>;
    type Checked = (Vec<String>, i64);
    type Output = Toys;

    fn needs(&self, _registry: &RegistryId) -> Vec<Need> {
        Vec::new()
    }

    fn check(self) -> Result<(Vec<String>, i64), ToyError> {
        call::check::size("Names", self.names.len(), 1, 3)?;
        let age = self.filter.map_or(0, |filter| filter.min_age);
        match age < 0 {
            true => Err(CommonError::invalid("Filter.MinAge", Constraint::MinValue(0)).into()),
            false => Ok((self.names, age)),
        }
    }

    async fn handle((names, age): (Vec<String>, i64), cx: &Cx, _app: &App) -> Result<Toys, ToyError> {
        if let Some(gone) = names.iter().find(|name| *name == "gone") {
            return Err(ToyError::NoSuchToy(gone.clone()));
        }
        let toys = names.into_iter().map(|name| ToyOut { name, age, made_at: Timestamp(1_800_000_000_000_000) });
        Ok(Toys { toys: toys.collect(), maker: Maker { account: cx.registry.account.to_string(), is_open: true } })
    }
}

const fn service(signing_name: &'static str, protocol: Protocol, operations: &'static [Entry]) -> Service {
    Service {
        signing_name,
        namesake: None,
        global_region: None,
        account: None,
        protocol,
        stated_life: false,
        operations,
        not_yet: &[],
    }
}

const NAMESPACE: &str = "https://toys.example/doc/2026-01-01/";
static QUERY: Service = service(
    "toyquery",
    Protocol::Query { namespace: NAMESPACE, version: "2026-01-01" },
    &[Entry::query::<DescribeToys<QueryToy>>()],
);
static JSON: Service = service(
    "toyjson",
    Protocol::Json { target: "Toys_V20260101", version: JsonVersion::V1_0 { namespace: "com.example.toys" } },
    &[Entry::json::<DescribeToys<JsonToy>>()],
);

/// Beside a service of the program: the first query service does not answer for the toy.
static SERVICES: &[&Service] = &[&sts::SERVICE, &QUERY, &JSON];

async fn app() -> TestApp {
    TestApp::builder().services(SERVICES).start().await
}

async fn query(app: &TestApp, parameters: &str) -> Answer {
    let call = Call::new("POST", "/")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body(format!("Action=DescribeToys&Version=2026-01-01{parameters}"));
    app.administrator().send("toyquery", call).await
}

async fn json(app: &TestApp, input: serde_json::Value) -> Answer {
    let call = Call::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", "Toys_V20260101.DescribeToys")
        .body(input.to_string());
    app.administrator().send("toyjson", call).await
}

#[tokio::test]
async fn a_query_service_is_served_by_its_table_alone() {
    let app = app().await;
    let answer = query(&app, "&Names.member.1=bear&Names.member.2=kite&Filter.MinAge=3").await.expect(200);
    let text = answer.text().replace(['\n', ' '], "");
    let toy =
        |name: &str| format!("<member><Name>{name}</Name><Age>3</Age><MadeAt>2027-01-15T08:00:00Z</MadeAt></member>");
    let toys = format!("<Toys>{}{}</Toys>", toy("bear"), toy("kite"));
    let maker = "<Maker><Account>000000000000</Account><IsOpen>true</IsOpen></Maker>";
    assert!(text.contains(&format!("<DescribeToysResult>{toys}{maker}</DescribeToysResult>")), "{text}");
    assert!(text.contains(NAMESPACE), "{text}");

    for (parameters, status, code) in [
        ("&Names.member.1=gone", 404, "NoSuchEntity"),
        ("&Names.member.1=bear&Filter.MinAge=-1", 400, "ValidationError"),
        ("&Names.member.1=a&Names.member.2=b&Names.member.3=c&Names.member.4=d", 400, "ValidationError"),
    ] {
        let answer = query(&app, parameters).await.expect(status);
        let text = answer.text();
        assert!(text.contains(&format!("<Code>{code}</Code>")) && text.contains(NAMESPACE), "{text}");
        assert_eq!(text.contains("<toyName>gone</toyName></Error>"), code == "NoSuchEntity", "{text}");
    }
}

#[tokio::test]
async fn a_json_service_is_served_by_its_table_alone() {
    let app = app().await;
    let answer = json(&app, json!({ "Names": ["bear", "kite"], "Filter": { "MinAge": 3 } })).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.0"));
    let toy = |name: &str| json!({ "Name": name, "Age": 3, "MadeAt": 1_800_000_000.0 });
    let maker = json!({ "Account": "000000000000", "IsOpen": true });
    assert_eq!(answer.json(), json!({ "Toys": [toy("bear"), toy("kite")], "Maker": maker }));

    let answer = json(&app, json!({ "Names": ["gone"] })).await.expect(400);
    let body = answer.json();
    assert!(body["__type"].as_str().is_some_and(|name| name.ends_with("NoSuchToyException")), "{body}");
    assert_eq!((&body["toyName"], &body["message"]), (&json!("gone"), &json!("There is no toy named gone")));
    let answer = json(&app, json!({ "Names": [] })).await.expect(400);
    assert!(answer.json()["__type"].as_str().is_some_and(|name| name.ends_with("InvalidParameterException")));
}

#[tokio::test]
async fn dev_refuses_a_stranger_in_the_protocol_of_the_service_that_was_called() {
    let app = TestApp::builder().services(SERVICES).local_only().start().await;
    let call = Call::new("POST", "/")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body("Action=DescribeToys&Version=2026-01-01");
    let caller = testkit::AwsCaller { host: Some("evil.example".to_owned()), ..app.administrator() };
    let answer = caller.send("toyquery", call).await.expect(403);
    assert!(answer.text().contains(NAMESPACE), "{}", answer.text());
}
