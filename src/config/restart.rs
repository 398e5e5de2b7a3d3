//! What a running gateway does not change: where it listens and how connections are accepted, its database, its
//! journal, its log, who keeps the limits that replicas share.

use super::{Config, Server};

impl Config {
    /// This configuration as far as a gateway that runs with `running` can take it over: the rest stays as it is
    /// there, until the next start. What [`super::diff`] finds between this and the answer is what waits for that.
    #[must_use]
    pub fn as_taken_over(&self, running: &Self) -> Self {
        let mut taken = self.clone();
        let wanted = &self.server;
        // Whatever is not named needs a start.
        taken.server = Server {
            body_limit: wanted.body_limit,
            upload_limit: wanted.upload_limit,
            request_timeout: wanted.request_timeout,
            body_idle_timeout: wanted.body_idle_timeout,
            body_min_rate: wanted.body_min_rate,
            drain_timeout: wanted.drain_timeout,
            max_in_flight: wanted.max_in_flight,
            max_body_memory: wanted.max_body_memory,
            ..running.server.clone()
        };
        taken.logging = running.logging.clone();
        taken.database = running.database.clone();
        taken.ledger = running.ledger.clone();
        taken.limit_sharing = running.limit_sharing;
        taken.redis = running.redis.clone();
        if taken.auth.admin_key.is_none() {
            // Without one the database has the key, which is made at a start.
            taken.auth.admin_key.clone_from(&running.auth.admin_key);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigSource, Format, Known, diff};
    use super::*;

    fn config(yaml: &str) -> Config {
        let source = ConfigSource::Text { name: "w.yaml".into(), text: yaml.to_owned(), format: Format::Yaml };
        Config::load(&source, &|_| None, &Known::default()).unwrap()
    }

    fn check(old: &str, new: &str, taken: &[&str], waits: &[&str]) {
        let (old, new) = (config(old), config(new));
        let next = new.as_taken_over(&old);
        let paths = |old: &Config, new: &Config| diff(old, new).into_iter().map(|c| c.path).collect::<Vec<_>>();
        assert_eq!(paths(&old, &next), taken);
        assert_eq!(paths(&next, &new), waits);
    }

    #[test]
    fn what_is_bound_to_the_start_waits_for_the_next() {
        check(
            "auth: {admin_key: a}",
            "server: {listen: '127.0.0.1:9', max_in_flight: 5, max_connections: 5}\nlogging: {level: debug}\n\
             database: {url: 'sqlite://x/y.db'}\nledger: {journal: j}\nlimit_sharing: redis\n\
             redis: {url: 'redis://h'}\nbrake: {repeats: 2}",
            &["brake.repeats", "server.max_in_flight"],
            &[
                "auth.admin_key",
                "database.url",
                "ledger.journal",
                "limit_sharing",
                "logging.level",
                "redis.on_failure",
                "redis.timeout",
                "redis.url",
                "server.listen",
                "server.max_connections",
            ],
        );
        check("auth: {admin_key: a}", "auth: {admin_key: b}", &["auth.admin_key"], &[]);
    }
}
