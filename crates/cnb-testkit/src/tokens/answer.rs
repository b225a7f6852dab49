//! The two ways of asking for a token, and the answer.

use std::io;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{Access, Asked, Grant, TokenPolicy, Tokens, lock};
use crate::http::{Body, Request, Response, parameters};

/// The longest form that is read, in bytes.
const LONGEST_FORM: u64 = 64 * 1024;

/// Who asks.
#[derive(Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    User(String),
    Impostor,
}

impl Tokens {
    /// Answers a question for a token.
    pub(crate) fn answer(&self, request: &Request, body: &mut Body<'_>) -> io::Result<Response> {
        let policy = lock(&self.policy).clone();
        let form = String::from_utf8_lossy(&body.bytes(LONGEST_FORM)?).into_owned();
        let (mut asked, who, offline) = match request.method.as_str() {
            "GET" => get(&policy, request),
            "POST" => post(&policy, &form),
            _ => return Ok(Response::new(405)),
        };
        let response = self.decide(&policy, &asked, &who, offline)?;
        asked.granted = response.status == 200;
        lock(&self.asked).push(asked);
        Ok(response)
    }

    fn decide(&self, policy: &TokenPolicy, asked: &Asked, who: &Who, offline: bool) -> io::Result<Response> {
        if let Some(status) = policy.refusal {
            return Ok(refusal(status, "refused by the test"));
        }
        let (subject, actions) = match who {
            Who::Impostor => return Ok(refusal(401, "incorrect username or password")),
            Who::Anonymous if policy.anonymous.is_empty() => return Ok(refusal(401, "who are you")),
            Who::Anonymous => (String::new(), &policy.anonymous),
            Who::User(user) => (user.clone(), &policy.granted),
        };
        let mut access: Vec<Access> = asked.scopes.iter().filter_map(|scope| Access::parse(scope)).collect();
        for thing in &mut access {
            thing.actions.retain(|action| actions.contains(action));
        }
        let issued = SystemTime::now() - policy.age;
        let service = asked.service.clone();
        let grant = Grant { subject, service, access, issued, expires: issued + policy.lifetime };
        let token = (self.issue)(&grant)?;
        lock(&self.issued).insert(token.clone(), grant);
        let mut answer = Map::new();
        for field in &policy.fields {
            answer.insert((*field).to_owned(), json!(token));
        }
        if policy.tells_lifetime {
            answer.insert("expires_in".to_owned(), json!(policy.lifetime.as_secs()));
        }
        if let (true, Some(identity)) = (offline, &policy.identity_token) {
            answer.insert("refresh_token".to_owned(), json!(identity));
        }
        Ok(Response::json(200, &Value::Object(answer)))
    }
}

fn get(policy: &TokenPolicy, request: &Request) -> (Asked, Who, bool) {
    let who = match (request.header("authorization"), request.basic()) {
        (None, _) => Who::Anonymous,
        (Some(_), Some((user, password))) if policy.users.get(&user) == Some(&password) => Who::User(user),
        _ => Who::Impostor,
    };
    let grant_type = if who == Who::Anonymous { "anonymous" } else { "basic" };
    let user = request.basic().map(|(user, _)| user);
    let offline = request.query("offline_token").is_some_and(|v| v == "true");
    let service = request.query("service").unwrap_or_default();
    (asked(&request.method, grant_type, user, service, &request.queries("scope")), who, offline)
}

fn post(policy: &TokenPolicy, form: &str) -> (Asked, Who, bool) {
    let field = |name| parameters(form, name).into_iter().next().unwrap_or_default();
    let (grant_type, user) = (field("grant_type"), field("username"));
    let who = match grant_type.as_str() {
        "refresh_token" if policy.identity_token.as_ref() == Some(&field("refresh_token")) => {
            Who::User("identity".to_owned())
        }
        "password" if policy.users.get(&user) == Some(&field("password")) => Who::User(user.clone()),
        _ => Who::Impostor,
    };
    let offline = field("access_type") == "offline";
    let user = Some(user).filter(|user| !user.is_empty());
    (asked("POST", &grant_type, user, field("service"), &parameters(form, "scope")), who, offline)
}

/// Scopes are repeated in a query and separated by spaces in a form; either is understood in both.
fn asked(method: &str, grant_type: &str, user: Option<String>, service: String, scopes: &[String]) -> Asked {
    let scopes = scopes.iter().flat_map(|s| s.split(' ')).filter(|s| !s.is_empty()).map(str::to_owned);
    let (method, grant_type) = (method.to_owned(), grant_type.to_owned());
    Asked { method, grant_type, user, service, scopes: scopes.collect(), granted: false }
}

fn refusal(status: u16, message: &str) -> Response {
    Response::json(status, &json!({"errors": [{"code": "UNAUTHORIZED", "message": message}]}))
}
