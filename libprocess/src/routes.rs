//! The routing table of a port: which handler a path belongs to, by the path rules of libprocess.
//!
//! Must never decide by method or content; handlers do.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::percent;

/// Routes by actor and longest prefix of whole segments.
///
/// The first segment of a path is decoded and taken as an actor; if there is no such actor, the path belongs to the
/// delegate actor (`master` on masters), as if its name stood in front. So `/state` is `/master/state`. Further segments are
/// compared as sent.
#[derive(Clone, Debug)]
pub struct Routes<T> {
    delegate: String,
    /// Actor, then path within the actor (empty or with a leading slash, no trailing one).
    by_actor: HashMap<String, HashMap<String, T>>,
    actors: HashSet<String>,
}

impl<T> Routes<T> {
    /// No routes yet; `delegate` names the actor that gets what belongs to no other.
    pub fn new(delegate: impl Into<String>) -> Self {
        let delegate = delegate.into();
        let actors = HashSet::from([delegate.clone()]);
        Routes {
            delegate,
            by_actor: HashMap::new(),
            actors,
        }
    }

    /// Adds a route, e.g. `/master/state`. Its first segment becomes an actor; the rest are segments as sent. A route
    /// given twice has the last handler.
    #[must_use]
    pub fn route(mut self, path: &str, handler: T) -> Self {
        let path = path.trim_matches('/');
        let (actor, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        self.actors.insert(actor.to_owned());
        self.by_actor
            .entry(actor.to_owned())
            .or_default()
            .insert(rest.to_owned(), handler);
        self
    }

    /// Adds an actor without routes: paths below it do not fall to the delegate.
    #[must_use]
    pub fn actor(mut self, id: impl Into<String>) -> Self {
        self.actors.insert(id.into());
        self
    }

    /// Whether `id` (decoded) is an actor of this table.
    pub fn has_actor(&self, id: &str) -> bool {
        self.actors.contains(id)
    }

    /// The handler of the longest route that is a prefix of `path`, and what follows it: empty, or beginning with a
    /// slash (`/state/` has the rest `/`).
    pub fn lookup<'p>(&self, path: &'p str) -> Option<(&T, &'p str)> {
        let (actor, inner) = self.split(path);
        let routes = self.by_actor.get(actor.as_ref())?;
        let mut end = inner.len();
        loop {
            if let Some(handler) = routes.get(&inner[..end]) {
                return Some((handler, &inner[end..]));
            }
            end = inner[..end].rfind('/')?;
        }
    }

    /// The path with its actor in front, e.g. `/master/state` for `/state`: the form in which handlers see it and redirects
    /// show it. The root becomes the delegate's name alone.
    pub fn rewrite<'p>(&self, path: &'p str) -> Cow<'p, str> {
        match self.split(path) {
            (Cow::Borrowed(actor), inner) if actor == self.delegate && inner.len() == path.len() => {
                Cow::Owned(format!("/{}{path}", self.delegate))
            }
            (_, "") if path == "/" => Cow::Owned(format!("/{}", self.delegate)),
            _ => Cow::Borrowed(path),
        }
    }

    /// Actor and path within it. `inner` is the whole path if the delegate gets it unnamed.
    fn split<'s, 'p>(&'s self, path: &'p str) -> (Cow<'s, str>, &'p str) {
        let without_slash = path.strip_prefix('/').unwrap_or(path);
        let (first, inner) = without_slash.split_at(without_slash.find('/').unwrap_or(without_slash.len()));
        if first.is_empty() && inner.is_empty() {
            return (Cow::Borrowed(&self.delegate), "");
        }
        match percent::decode(first) {
            Ok(actor) if self.actors.contains(&actor) => (Cow::Owned(actor), inner),
            _ => (Cow::Borrowed(&self.delegate), path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes<&'static str> {
        Routes::new("master")
            .route("/master", "assets")
            .route("/master/state", "state")
            .route("/master/api/v1", "operator")
            .route("/master/api/v1/scheduler", "scheduler")
            .route("/metrics/snapshot", "metrics")
            .route("/registrar(1)/registry", "registry")
            .actor("help")
    }

    fn strict() -> Routes<&'static str> {
        Routes::new("master")
            .route("/master/state", "state")
            .route("/master/api/v1", "operator")
    }

    #[test]
    fn the_delegate_gets_what_names_no_actor() {
        let routes = routes();
        assert_eq!(routes.lookup("/state"), Some((&"state", "")));
        assert_eq!(routes.lookup("/master/state"), Some((&"state", "")));
        assert_eq!(routes.lookup("/%6daster/state"), Some((&"state", "")));
        assert_eq!(routes.lookup("/"), Some((&"assets", "")));
        assert_eq!(routes.lookup("/metrics/snapshot/x"), Some((&"metrics", "/x")));
        assert_eq!(routes.lookup("/registrar%281%29/registry"), Some((&"registry", "")));
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let routes = routes();
        assert_eq!(routes.lookup("/api/v1/scheduler"), Some((&"scheduler", "")));
        assert_eq!(routes.lookup("/api/v1/scheduler/x/y"), Some((&"scheduler", "/x/y")));
        assert_eq!(
            routes.lookup("/api/v1/scheduler.json"),
            Some((&"operator", "/scheduler.json"))
        );
        assert_eq!(routes.lookup("/api/v1/"), Some((&"operator", "/")));
        assert_eq!(routes.lookup("/state/foo"), Some((&"state", "/foo")));
    }

    #[test]
    fn other_paths_have_no_route() {
        let routes = strict();
        for path in [
            "/",
            "/nope",
            "/state.json",
            "/master",
            "/api/v2",
            "/API/v1",
            "/%61pi/v1",
            "/api//v1",
            "/master/master/state",
            "/metrics",
            "/%zz/state",
            "",
        ] {
            assert_eq!(routes.lookup(path), None, "{path}");
        }
        assert_eq!(self::routes().lookup("/metrics"), None);
        assert_eq!(self::routes().lookup("/help/x"), None);
    }

    #[test]
    fn rewriting_names_the_delegate() {
        let routes = routes();
        for (path, rewritten) in [
            ("/state", "/master/state"),
            ("/state/", "/master/state/"),
            ("/master/state", "/master/state"),
            ("/master", "/master"),
            ("/", "/master"),
            ("/api/v1/nope", "/master/api/v1/nope"),
            ("/metrics/snapshot", "/metrics/snapshot"),
            ("/%61pi/v1", "/master/%61pi/v1"),
        ] {
            assert_eq!(routes.rewrite(path), rewritten, "{path}");
        }
    }
}
