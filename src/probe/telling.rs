//! The report as it grows: each step is told as soon as it is known.
use super::report::{Code, Fault, Report, Stage, Step};

/// What is told, and to whom.
pub struct Telling<'a> {
    pub report: Report,
    on_step: &'a mut (dyn FnMut(&Step) + Send),
}

impl<'a> Telling<'a> {
    pub fn new(hostname: &str, on_step: &'a mut (dyn FnMut(&Step) + Send)) -> Self {
        let report = Report {
            ok: false,
            hostname: hostname.to_owned(),
            url: String::new(),
            steps: Vec::new(),
            hops: Vec::new(),
            fallback: None,
            end: None,
        };
        Self { report, on_step }
    }

    /// The walk did not come to its end.
    pub fn out_of_time(&mut self) {
        let stage = match self.report.steps.last().map(|step| step.step) {
            None => Stage::Dns,
            Some(Stage::Dns) => Stage::Connect,
            Some(Stage::Connect) => Stage::Tls,
            Some(Stage::Tls) => Stage::Http,
            // A device has its answer, or its failure.
            Some(_) => return,
        };
        self.wrong(
            stage,
            Fault::new(Code::ResponseTooSlow, "The probe was ended here: it took too long."),
        );
    }

    /// A device succeeds if it gets a document and nothing stops it.
    pub fn finish(mut self) -> Report {
        let has_document = self.report.steps.iter().any(|step| step.step == Stage::Document);
        let is_stopped = self.report.steps.iter().any(|step| step.stops_devices);
        self.report.ok = has_document && !is_stopped;
        self.report
    }

    pub fn fine(&mut self, stage: Stage, detail: impl AsRef<str>) {
        self.tell(Step::fine(stage, detail));
    }

    pub fn wrong(&mut self, stage: Stage, fault: Fault) {
        self.tell(Step::wrong(stage, fault));
    }

    fn tell(&mut self, step: Step) {
        (self.on_step)(&step);
        self.report.steps.push(step);
    }

    pub fn result(&mut self, stage: Stage, result: Result<String, Fault>) {
        match result {
            Ok(detail) => self.fine(stage, detail),
            Err(fault) => self.wrong(stage, fault),
        }
    }
}
