//! Who may do what.

use super::route::Route;
use super::serve::error;
use super::{Auth, Core};
use crate::http::{Request, Response};
use crate::tokens::{Access, Verdict};

impl Core {
    /// Returns the answer to somebody who may not do this; `None` where they may.
    pub(crate) fn refusal(&self, request: &Request, route: &Route) -> Option<Response> {
        match &self.options.auth {
            Auth::Open => None,
            Auth::Basic { user, password } => {
                let known = request.basic().is_some_and(|(u, p)| u == *user && p == *password);
                (!known).then(|| unauthorized("Basic realm=\"testkit\""))
            }
            Auth::Bearer(_) => {
                let wanted = wanted(request, route);
                let verdict = match (request.bearer(), &self.tokens) {
                    (Some(token), Some(tokens)) => tokens.judge(token, &wanted),
                    _ => Verdict::Unknown,
                };
                let error = match verdict {
                    Verdict::Allowed => return None,
                    Verdict::Insufficient => ",error=\"insufficient_scope\"",
                    Verdict::Unknown if request.bearer().is_some() => ",error=\"invalid_token\"",
                    Verdict::Unknown => "",
                };
                Some(unauthorized(&format!("{}{error}", self.challenge(&wanted))))
            }
        }
    }

    /// Returns the answer to somebody whose token has just expired.
    pub(crate) fn challenge(&self, wanted: &[Access]) -> String {
        let realm = format!("Bearer realm=\"http://{}/token\",service=\"testkit\"", self.address);
        if wanted.is_empty() {
            return realm;
        }
        let scopes: Vec<String> = wanted.iter().map(Access::to_string).collect();
        format!("{realm},scope=\"{}\"", scopes.join(" "))
    }
}

/// What somebody must be allowed to do who asks this.
pub(crate) fn wanted(request: &Request, route: &Route) -> Vec<Access> {
    let Some(name) = route.name() else { return Vec::new() };
    let actions: &[&str] = match request.method.as_str() {
        "GET" | "HEAD" => &["pull"],
        "DELETE" if !matches!(route, Route::Upload { .. }) => &["delete"],
        _ => &["pull", "push"],
    };
    let mut wanted = vec![Access::repository(name, actions)];
    if let (Route::Uploads { .. }, Some(from)) = (route, request.query("from")) {
        wanted.push(Access::repository(&from, &["pull"]));
    }
    wanted
}

pub(crate) fn unauthorized(challenge: &str) -> Response {
    error(401, "UNAUTHORIZED", "").with("WWW-Authenticate", challenge)
}
