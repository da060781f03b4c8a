//! `ecru health`: whether a server is ready, without keys; for health checks of containers and for scripts.

use super::client::ClientError;
use crate::config;
use crate::data_dir::{DataDirError, Endpoint};
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use listen::outbound::{Trust, exchange};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long to wait between two questions.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Asks a server on this machine whether it is ready, without keys. Exits with 0 when it is, else with 1 and the reason.
#[derive(Debug, clap::Args)]
pub struct Health {
    /// The data directory of the server, which says where it listens.
    #[arg(long, value_name = "DIR", default_value = config::DEFAULT_DATA, env = "ECRU_DATA")]
    pub data: PathBuf,
    /// The server's address, such as http://localhost:5050, instead of what the data directory says.
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
    #[command(flatten)]
    pub wait: Wait,
}

/// How long to wait for a server that is not ready yet.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Wait {
    /// Wait for a server that is not ready yet, or not there yet: so many seconds at most [default with --wait alone: 60].
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_value_t = 0,
        default_missing_value = "60",
        hide_default_value = true
    )]
    pub wait: u32,
}

/// Why no server is ready.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("no server has run in {} yet; start `ecru serve`, or name its directory with --data", .0.display())]
    NoServer(PathBuf),
    #[error("'{0}' is not the address of a server: http://HOST:PORT or https://HOST:PORT is")]
    Endpoint(String),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the server at {endpoint} is not ready: {reasons}")]
    NotReady { endpoint: Uri, reasons: String },
    #[error("the server at {endpoint} answered with {status}, which is not Ecru's answer")]
    Foreign { endpoint: Uri, status: StatusCode },
}

impl Health {
    /// Waits until the server is ready, as long as it may; then says so in one line.
    pub async fn run(self) -> Result<String, HealthError> {
        let endpoint = self.wait.until_ok(|| self.ask()).await?;
        Ok(format!("{endpoint} is ready\n"))
    }

    async fn ask(&self) -> Result<Uri, HealthError> {
        let (text, authority) = match &self.endpoint_url {
            Some(text) => (text.clone(), None),
            None => of_data_directory(&self.data)?,
        };
        let endpoint: Uri = text.parse().map_err(|_| HealthError::Endpoint(text))?;
        ready(&endpoint, authority).await?;
        Ok(endpoint)
    }
}

impl Wait {
    /// Asks again until the answer is `Ok` or the time is over; then the last failure is the answer.
    pub async fn until_ok<T, E, F>(self, ask: impl Fn() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let until = Instant::now() + Duration::from_secs(self.wait.into());
        loop {
            match ask().await {
                Err(_) if Instant::now() < until => sleep(ASK_EVERY).await,
                answer => return answer,
            }
        }
    }
}

/// Where the server of a data directory answers health, and the file of the private authority that signed its certificate.
fn of_data_directory(data: &Path) -> Result<(String, Option<PathBuf>), HealthError> {
    let endpoint = Endpoint::read(data)?.ok_or_else(|| HealthError::NoServer(data.to_owned()))?;
    Ok((endpoint.health.unwrap_or(endpoint.url), endpoint.ca.map(PathBuf::from)))
}

/// Asks `/readyz`. Over TLS its own authority is trusted, else those of AWS_CA_BUNDLE, else those of the system.
async fn ready(endpoint: &Uri, authority: Option<PathBuf>) -> Result<(), HealthError> {
    let url = format!("{}/readyz", endpoint.to_string().trim_end_matches('/'));
    let request = Request::get(url).body(Empty::<Bytes>::new());
    let request = request.map_err(|_| HealthError::Endpoint(endpoint.to_string()))?;
    let bundle = || std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
    let authorities = authority.or_else(bundle);
    let answer = exchange(request, || authorities.as_deref().map_or_else(Trust::system, Trust::file)).await;
    let answer = answer.map_err(ClientError::from)?;
    match answer.status() {
        StatusCode::OK => Ok(()),
        StatusCode::SERVICE_UNAVAILABLE => {
            let text = String::from_utf8_lossy(answer.body());
            let reasons: Vec<&str> = text.lines().skip(1).collect();
            Err(HealthError::NotReady { endpoint: endpoint.clone(), reasons: reasons.join("; ") })
        }
        status => Err(HealthError::Foreign { endpoint: endpoint.clone(), status }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_with_the_first_success_or_with_the_last_failure() {
        let asked = AtomicU32::new(0);
        let ask = || async {
            let times = asked.fetch_add(1, Ordering::Relaxed) + 1;
            if times < 5 { Err(times) } else { Ok(times) }
        };
        assert_eq!(Wait { wait: 60 }.until_ok(ask).await, Ok(5));
        asked.store(0, Ordering::Relaxed);
        assert_eq!(Wait { wait: 0 }.until_ok(ask).await, Err(1));
        let never = || async { Err::<(), ()>(()) };
        let began = Instant::now();
        assert_eq!(Wait { wait: 2 }.until_ok(never).await, Err(()));
        assert_eq!(began.elapsed().as_secs(), 2);
    }

    #[tokio::test]
    async fn without_a_server_the_reason_says_where_to_look() {
        let dir = tempfile::tempdir().unwrap();
        let health = |endpoint_url| Health { data: dir.path().to_owned(), endpoint_url, wait: Wait { wait: 0 } };
        let none = health(None).run().await.unwrap_err();
        assert!(none.to_string().contains("no server has run in"), "{none}");
        let wrong = health(Some("localhost 5050".to_owned())).run().await.unwrap_err();
        assert!(wrong.to_string().contains("is not the address of a server"), "{wrong}");
    }
}
