//! `respool plan` with what a replay asks before it begins, so that it is known while there is time.

use jiff::Timestamp;

use super::before;
use crate::archive::DefectReason;
use crate::config::{ArchiveAddress, PlanConfig};
use crate::error::Error;
use crate::plan::report::{Plan, Warning};
use crate::plan::{self, write_page};
use crate::record::number;
use crate::run::at_hand;
use crate::run::forbidden::to_read;

/// Objects that may not be read are none of the archive's faults.
fn denied(archive: &ArchiveAddress, plan: &Plan) -> Option<Warning> {
    let ArchiveAddress::S3 { bucket, prefix } = archive else { return None };
    let denied = DefectReason::Denied.to_string();
    let unread = plan.sample.unread.iter();
    let count: u64 = unread.filter(|(why, _)| why.starts_with(&denied)).map(|(_, count)| *count).sum();
    (count > 0).then(|| {
        let message = format!("of the objects that were looked at {} may not be read", number(count));
        Warning { code: "denied", message, action: format!("{} and plan again", to_read(bucket, prefix)) }
    })
}

/// Makes a plan, with the target's answers among its warnings, and leaves it where the user wants it.
pub async fn plan(config: &PlanConfig, now: Timestamp) -> Result<Plan, Error> {
    let (archive, target) = (&config.what.archive, config.what.target.as_ref());
    let tuning = at_hand::settled(&config.tuning, archive, target).await?;
    let config = &PlanConfig { tuning, ..config.clone() };
    let answers =
        async { Ok(before::warnings(archive, target, &config.tuning, config.firehose.as_ref()).await) };
    let (mut plan, answers) = tokio::try_join!(plan::plan(config, now), answers)?;
    // Where Firehose has told of a loop, nobody needs to be told by what names it seems to be one.
    plan.warnings.retain(|warning| !answers.iter().any(|answer| answer.code == warning.code));
    plan.warnings.splice(0..0, answers);
    plan.warnings.extend(denied(archive, &plan));
    write_page(config, &plan)?;
    Ok(plan)
}
