//! Host names: `/etc/hosts` first, then the servers of `/etc/resolv.conf`, and nobody else.
//!
//! The lifecycle is linked without glibc's resolver, so names are looked up here. Where `resolv.conf` is
//! missing or names no server, it is the one on this host, as for glibc; public resolvers are never asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cnb_fs::HostPath;
use fs_err as fs;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use reqwest::dns::{Addrs, Resolve, Resolving};

use crate::settings::Names;

/// Looks host names up for the HTTP client.
#[derive(Clone, Debug)]
pub(crate) struct Resolver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    names: Names,
    servers: OnceLock<Option<TokioResolver>>,
}

/// What `resolv.conf` says.
#[derive(Debug, PartialEq, Eq)]
struct ResolvConf {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
    timeout: Duration,
    attempts: usize,
}

/// Looks up the addresses of `host` in `hosts` and by the servers of `resolv.conf`, in the calling thread alone.
///
/// # Errors
/// When there is no such host, or no server answers.
pub fn lookup(names: &Names, host: &str) -> io::Result<Vec<IpAddr>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Resolver::new(names.clone()).lookup(host)).map_err(io::Error::other)
}

impl Resolver {
    pub(crate) fn new(names: Names) -> Self {
        Self(Arc::new(Inner { names, servers: OnceLock::new() }))
    }

    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        // With a dot at its end a name is complete: no search domain is tried.
        let complete = host;
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let fixed = in_hosts(&text_of(&self.0.names.hosts), &host);
        if !fixed.is_empty() {
            return Ok(fixed);
        }
        if host == "localhost" || host.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let servers = self.0.servers.get_or_init(|| self.0.connect());
        let servers = servers.as_ref().ok_or("no resolver can be made from `resolv.conf`")?;
        let found = servers.lookup_ip(complete).await.map_err(|e| {
            if e.is_no_records_found() {
                format!("no such host `{host}`")
            } else {
                format!("the name `{host}` cannot be looked up: {e}")
            }
        })?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        // Hosts without IPv6 are common where builds run; connections to the other family follow shortly after.
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok(addresses)
    }
}

impl Inner {
    fn connect(&self) -> Option<TokioResolver> {
        let conf = ResolvConf::parse(&text_of(&self.names.resolv_conf));
        let servers = conf.servers.iter().map(|ip| {
            let mut server = NameServerConfig::udp_and_tcp(*ip);
            for connection in &mut server.connections {
                connection.port = self.names.port;
            }
            server
        });
        let search = conf.search.iter().filter_map(|s| Name::from_str_relaxed(s).ok()).collect();
        let config = ResolverConfig::from_parts(None, search, servers.collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options: &mut ResolverOpts = builder.options_mut();
        options.ndots = conf.ndots;
        options.timeout = conf.timeout;
        options.attempts = conf.attempts;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        // As glibc does: one after the other, in the order of the file.
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.num_concurrent_reqs = 1;
        builder.build().ok()
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.lookup(name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(addresses)
        })
    }
}

/// Returns what a file says, nothing if it is missing: both files may be.
fn text_of(path: &HostPath) -> String {
    fs::read(path.as_path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Returns the addresses that a hosts file gives to `host`.
fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let found = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host)).then_some(address)
    });
    found.collect()
}

impl ResolvConf {
    /// Reads resolv.conf(5); what is not known there is skipped, as by glibc.
    fn parse(text: &str) -> Self {
        let mut conf = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
        };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                // Addresses with a scope (`fe80::1%eth0`) cannot be used by all means.
                Some("nameserver") => {
                    conf.servers.extend(words.next().and_then(|w| w.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        // glibc uses the first three.
        conf.servers.truncate(3);
        if conf.servers.is_empty() {
            conf.servers.push(Ipv4Addr::LOCALHOST.into());
        }
        conf
    }

    fn option(&mut self, word: &str) {
        let Some((name, value)) = word.split_once(':') else { return };
        let Ok(value) = value.parse::<u16>() else { return };
        match name {
            "ndots" => self.ndots = usize::from(value.min(15)),
            "timeout" => self.timeout = Duration::from_secs(u64::from(value.clamp(1, 30))),
            "attempts" => self.attempts = usize::from(value.clamp(1, 5)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_names_need_no_server() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = dir.path().join("hosts");
        fs_err::write(&hosts, "192.0.2.7 engine\n").unwrap();
        let none = HostPath::absolute(dir.path().join("none"));
        let names = Names { hosts: HostPath::absolute(hosts), resolv_conf: none, port: 1 };
        assert_eq!(super::lookup(&names, "engine").unwrap(), [IpAddr::from([192, 0, 2, 7])]);
        assert!(super::lookup(&names, "localhost").unwrap().contains(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn a_hosts_file_gives_all_addresses_of_a_name() {
        let text = "127.0.0.1 localhost\n# 10.0.0.9 reg\n10.0.0.1\tReg.Example reg # ours\n::5 reg\nx reg\n";
        let found = |host| in_hosts(text, host).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(found("reg"), "10.0.0.1 ::5");
        assert_eq!(found("reg.example"), "10.0.0.1");
        assert_eq!(found("ours"), "");
    }

    #[test]
    fn resolv_conf_is_read_as_by_glibc() {
        let text = "; comment\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameserver ::1\n\
                    domain a.example\nsearch b.example c.example\noptions ndots:5 timeout:2 attempts:3 rotate\n";
        let found = ResolvConf::parse(text);
        let expected = ResolvConf {
            servers: vec![Ipv4Addr::new(10, 0, 0, 2).into(), Ipv6Addr::LOCALHOST.into()],
            search: vec!["b.example".to_owned(), "c.example".to_owned()],
            ndots: 5,
            timeout: Duration::from_secs(2),
            attempts: 3,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn without_servers_it_is_the_one_on_this_host() {
        assert_eq!(ResolvConf::parse("").servers, [IpAddr::from(Ipv4Addr::LOCALHOST)]);
    }
}
