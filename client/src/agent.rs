//! The files API of an agent: what tasks wrote into their sandboxes.

use std::time::Duration;

use proto::v1::agent::{Call, Response, call};
use seams::Seams;
use tokio::time::timeout;

use crate::encoding::Encoding;
use crate::http::{Http, HttpError, error_text, read_body};
use crate::operator::OperatorError;

/// Limit of one call.
const AGENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Path of the agent's v1 API.
const AGENT_PATH: &str = "/api/v1";

/// A client of one agent's v1 API.
#[derive(Clone, Debug)]
pub struct AgentClient {
    http: Http,
    address: String,
    encoding: Encoding,
}

impl AgentClient {
    /// A client of the agent that listens at `address` (`host:port`).
    pub fn new(address: impl Into<String>, encoding: Encoding, seams: &Seams) -> Self {
        AgentClient {
            http: Http::new(seams),
            address: address.into(),
            encoding,
        }
    }

    /// Reads at most `length` bytes (the agent may give less) of a file from `offset`; returns the size of the whole
    /// file and the bytes. `path` is a path of the agent's host, within a sandbox or a directory it publishes.
    pub async fn read_file(&self, path: &str, offset: u64, length: u64) -> Result<(u64, bytes::Bytes), OperatorError> {
        let read_file = call::ReadFile {
            path: path.to_owned(),
            offset,
            length: Some(length),
        };
        let call = Call {
            r#type: Some(call::Type::ReadFile.into()),
            read_file: Some(read_file),
            ..Call::default()
        };
        let answer = self.call(call).await?.read_file;
        answer
            .map(|file| (file.size, file.data))
            .ok_or_else(|| self.bad_answer("it does not answer READ_FILE"))
    }

    /// The agent's flags, name to value.
    pub async fn flags(&self) -> Result<Vec<(String, String)>, OperatorError> {
        let call = Call {
            r#type: Some(call::Type::GetFlags.into()),
            ..Call::default()
        };
        let answer = self
            .call(call)
            .await?
            .get_flags
            .ok_or_else(|| self.bad_answer("it does not answer GET_FLAGS"))?;
        Ok(answer
            .flags
            .into_iter()
            .map(|flag| (flag.name, flag.value.unwrap_or_default()))
            .collect())
    }

    /// The executors and tasks on the agent, and where the agent keeps them.
    pub async fn state(&self) -> Result<bytes::Bytes, OperatorError> {
        let exchange = async {
            let response = self.http.get(&self.address, "/state").await?;
            if response.status != 200 {
                return Ok(Err((response.status, error_text(response).await)));
            }
            read_body(response).await.map(Ok)
        };
        match timeout(AGENT_TIMEOUT, exchange).await {
            Ok(Ok(Ok(body))) => Ok(body),
            Ok(Ok(Err((status, text)))) => Err(OperatorError::Refused {
                peer: self.address.clone(),
                status,
                text,
            }),
            Ok(Err(error)) => Err(self.unavailable(error.to_string())),
            Err(_) => Err(self.unavailable(format!("{} does not answer", self.address))),
        }
    }

    async fn call(&self, call: Call) -> Result<Response, OperatorError> {
        let body = self.encoding.encode(&call);
        let exchange = async {
            let response = self
                .http
                .post(&self.address, AGENT_PATH, self.encoding, &[], body)
                .await?;
            if response.status != 200 {
                return Ok(Err((response.status, error_text(response).await)));
            }
            read_body(response).await.map(Ok)
        };
        match timeout(AGENT_TIMEOUT, exchange).await {
            Ok(Ok(Ok(body))) => self.encoding.decode(&body).map_err(|reason| self.bad_answer(&reason)),
            Ok(Ok(Err((status, text)))) => Err(OperatorError::Refused {
                peer: self.address.clone(),
                status,
                text,
            }),
            Ok(Err(HttpError::NotSent(last) | HttpError::Lost(last))) => Err(self.unavailable(last)),
            Err(_) => Err(self.unavailable(format!("{} does not answer", self.address))),
        }
    }

    fn unavailable(&self, last: String) -> OperatorError {
        OperatorError::Unavailable {
            waited: AGENT_TIMEOUT,
            last,
        }
    }

    fn bad_answer(&self, reason: &str) -> OperatorError {
        OperatorError::BadAnswer {
            peer: self.address.clone(),
            reason: reason.to_owned(),
        }
    }
}
