//! A redirect that does not pass the device's query on: what it is told as, and whether it is why the end is not
//! well. That is asked: the redirect's target once more, with the query.
use http::Method;

use super::{
    compare,
    journey::{Home, Journey, travel},
    line::Lines,
    report::{Code, Fault},
    target::{Target, keeps_query},
};

/// More than one redirect of a chain may lose it.
const MAX_MENDED: usize = 3;

const REMEDY: &str = "Whoever runs the web server keeps the query in the redirect: in nginx \
    `return 307 https://…$is_args$args;`, in Apache `RewriteRule` without a ? in its target, in IIS \
    appendQueryString=\"true\", in Cloudflare “Preserve query string”. Where that can't be, the target's path must name \
    the domain, and the answer must be the same for everybody.";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Which redirect it was, in words.
    pub at: String,
    /// Its target, as it would be with the query.
    kept: Option<Target>,
    /// With the query the target answers well.
    pub is_cause: bool,
}

impl Lost {
    /// If `here` was asked with a device's query, and `next` does not have it.
    pub fn between(here: &Target, next: &Target) -> Option<Self> {
        let query = here.query().filter(|query| !keeps_query(query, next.query()))?;
        Some(Self {
            at: format!("{} redirects to {}", here.place(), next.place()),
            kept: Some(next.with_device_query(query)),
            is_cause: false,
        })
    }

    /// For the step that fails: the cause first, for its own words mislead.
    pub fn blamed_for(&self, fault: Fault) -> Fault {
        match self.is_cause {
            true => fault
                .at(&format!(
                    "The redirect loses the query, and its target answers well only with it: {} without the query. \
                     What a device gets there",
                    self.at
                ))
                .expected("A redirect whose target ends with the query of the request.")
                .remedy(REMEDY),
            false => fault,
        }
    }

    pub fn fault(&self) -> Fault {
        let fault = |what| {
            Fault::new(
                Code::RedirectLosesQuery,
                format!("{} without the query: {what}", self.at),
            )
            .expected("A target that ends with the query of the request, or that needs none.")
            .remedy(REMEDY)
        };
        match self.is_cause {
            true => fault("without it the target does not answer well, with it it does.").devices(
                "All: a device does not add its query to the target of a redirect.",
            ),
            false => fault("who asks, with which kind of device, does not arrive there.").passable(
                "All: a device does not add its query to the target of a redirect. Answers that depend on user or model \
                 family can't be given.",
            ),
        }
    }
}

/// Where the way lost the query and its end is not well: asks whether it would be well with the query.
pub async fn blame(lines: Lines<'_>, home: &Home, journey: &mut Journey) {
    let Some(lost) = journey.query_lost.as_mut() else {
        return;
    };
    let is_well = |end: &Result<_, _>| end.as_ref().is_ok_and(|answer| compare::fault(answer).is_none());
    if is_well(&journey.end) {
        return;
    }
    let mut next = lost.kept.take();
    for _ in 0..MAX_MENDED {
        let Some(kept) = next.filter(|_| lines.has_time()) else {
            return;
        };
        let mended = travel(lines, home, &kept, Method::GET).await;
        if is_well(&mended.end) {
            lost.is_cause = true;
            return;
        }
        next = mended.query_lost.and_then(|lost| lost.kept);
    }
}
