//! `/v1/log/…`: the whole log is read beside its writer, on a thread of its own.

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use super::Shared;
use super::body::{Out, Refusal, octets, read, whole};
use super::routes::refuse_query;
use crate::daemon::blobs;
use crate::daemon::protocol::{LogRebuilt, LogStat, LogVerified};
use crate::log::part::{Part, take};
use crate::log::stat::stat;
use crate::log::{LogError, Reader};

/// `POST /v1/log/verify`.
pub(super) async fn verify(shared: &Shared) -> Result<Response<Out>, Refusal> {
    let folder = shared.place.blobs();
    let (verified, found) = scan(shared, move |reader| blobs::verify(reader, &folder, 1)).await?;
    Ok(whole(StatusCode::OK, &LogVerified::of(&verified, false, found)))
}

/// `POST /v1/log/stat`.
pub(super) async fn figures(shared: &Shared) -> Result<Response<Out>, Refusal> {
    let stat = scan(shared, stat).await?;
    Ok(whole(StatusCode::OK, &LogStat::of(&stat)))
}

/// `POST /v1/log/part`.
pub(super) async fn part(
    shared: &Shared,
    request: Request<Incoming>,
) -> Result<Response<Out>, Refusal> {
    let asked: Part = read(request).await?;
    let bytes = scan(shared, move |reader| take(reader, asked)).await?;
    Ok(octets(bytes))
}

/// `POST /v1/log/rebuild`.
pub(super) async fn rebuild(shared: &Shared) -> Result<Response<Out>, Refusal> {
    let seq = shared.questions.rebuild().await.map_err(|error| refuse_query(&error))?;
    Ok(whole(StatusCode::OK, &LogRebuilt { seq }))
}

/// One at a time: it takes a core and the disk for as long as the log is.
async fn scan<R: Send + 'static>(
    shared: &Shared,
    read: impl FnOnce(&Reader) -> Result<R, LogError> + Send + 'static,
) -> Result<R, Refusal> {
    let Ok(_permit) = shared.scans.acquire().await else { return Err(Refusal::ending()) };
    let reader = shared.log.clone();
    let scanned = tokio::task::spawn_blocking(move || read(&reader)).await;
    let scanned = scanned.map_err(|_| Refusal::ending())?;
    scanned.map_err(|error| broken(error.to_string()).hint(&error.hint()))
}

fn broken(message: String) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, 1, "log", message)
}
