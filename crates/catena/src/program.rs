//! The program: flags, `check`, standard input, the runtime.

use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use catena_core::corefile::{SOURCE_BYTES_MAX, decode};
use catena_core::{Clock, Log};
use catena_runtime::{
    Disk, EXIT_FATAL, EXIT_FORCED, HostInterfaces, Options, Output, ProcessExit, ProcessOptions, Source, SystemClock,
    Text, available_workers, complain, go_date, install_panic_hook, run, version_lines,
};
use catena_stock::COREDNS_DIRECTIVES;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::PRODUCT;
use crate::check::check;
use crate::embed::Builder;
use crate::flags::{Flags, Stop, check_usage, usage};

/// The most threads for work that blocks, such as reading files and looking up host names.
const BLOCKING_THREADS_MAX: usize = 4;
/// How long such a thread waits for more work.
const BLOCKING_THREAD_IDLE: Duration = Duration::from_secs(5);

/// Runs the program with the process's arguments.
pub fn main(builder: Builder) -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_else(|| "catena".to_owned());
    let words: Vec<String> = words.collect();
    if let Some(("check", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return check_command(&builder, &program, rest);
    }
    let flags = match Flags::parse(&words) {
        Ok(flags) => flags,
        Err(stop) => {
            let fault = if let Stop::Fault(line) = &stop { format!("{line}\n") } else { String::new() };
            complain(&format!("{fault}{}", usage(&program).trim_end()));
            return if stop == Stop::Help { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FORCED) };
        }
    };
    if !flags.rest.is_empty() {
        let date = go_date(SystemClock.wall());
        complain(&format!("{date} extra command line arguments: [{}]", flags.rest.join(" ")));
        return ExitCode::from(EXIT_FATAL);
    }
    let information = if flags.version {
        version_lines(PRODUCT).join("\n") + "\n"
    } else if flags.plugins {
        plugin_lines(&builder)
    } else {
        return serve(builder, &flags);
    };
    // Whoever closed standard output does not want to know.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), information.as_bytes());
    ExitCode::SUCCESS
}

/// One name a line, sorted, and a line that is empty. CoreDNS: `DescribePlugins`, where `on`, which is no plugin of a server type, is last.
fn plugin_lines(builder: &Builder) -> String {
    let mut names = builder.plugins().names();
    names.sort_by_key(|name| (*name == "on", *name));
    names.iter().map(|name| format!("{name}\n")).collect::<String>() + "\n"
}

fn serve(builder: Builder, flags: &Flags) -> ExitCode {
    install_panic_hook();
    raise_descriptor_limit();
    let output = match Output::start(flags.log_format, std::io::stdout()) {
        Ok(output) => output,
        Err(error) => return fail(&error.to_string()),
    };
    let log = Log::new(Arc::<Output>::clone(&output) as Arc<_>);
    let parallelism = available_workers();
    output.plain(&format!("maxprocs: {parallelism}"));
    let source = match source_of(flags) {
        Ok(source) => source,
        Err(reason) => {
            output.flush();
            return fail(&format!("loading Caddyfile via flag: {reason}"));
        }
    };
    let options = Options {
        plugins: builder.into_plugins(),
        elsewhere: COREDNS_DIRECTIVES.to_vec(),
        source,
        default_port: flags.port.clone(),
        product: PRODUCT.to_owned(),
        workers: parallelism.count(),
        log,
        exit: Arc::new(ProcessExit(Arc::clone(&output))),
        files: Arc::new(Disk),
        interfaces: Arc::new(HostInterfaces),
        clock: Arc::new(SystemClock),
    };
    let process = ProcessOptions {
        pidfile: Some(PathBuf::from(&flags.pidfile)).filter(|path| !path.as_os_str().is_empty()),
        quiet: flags.quiet,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(BLOCKING_THREAD_IDLE)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    let code = runtime.block_on(run(options, &process, &output));
    output.flush();
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Lets the process open as many files and sockets as it is allowed to, as every Go program does. Shells and service managers start with
/// 1024, which is meant for select(2). Without leave to it the limit stays as it is.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn fail(line: &str) -> ExitCode {
    complain(line);
    ExitCode::from(EXIT_FATAL)
}

/// What `-conf` names.
fn source_of(flags: &Flags) -> Result<Source, String> {
    match flags.conf.as_str() {
        "" => Ok(Source::Default),
        "stdin" => Ok(stdin()?.map_or(Source::Default, Source::stdin)),
        conf => match conf.strip_prefix("configmap:") {
            Some(address) => configmap(address, &flags.kubeconfig).map_err(|reason| format!("{conf}: {reason}")),
            None => Ok(Source::File(PathBuf::from(conf))),
        },
    }
}

#[cfg(feature = "kubernetes")]
fn configmap(address: &str, kubeconfig: &str) -> Result<Source, String> {
    let address = catena_runtime::Address::parse(address)?;
    let kubeconfig = Some(PathBuf::from(kubeconfig)).filter(|path| !path.as_os_str().is_empty());
    Ok(Source::Live(Arc::new(catena_runtime::ConfigMapSource::new(address, kubeconfig))))
}

#[cfg(not(feature = "kubernetes"))]
fn configmap(_address: &str, _kubeconfig: &str) -> Result<Source, String> {
    Err("this build knows no Kubernetes".to_owned())
}

/// What stands on standard input; none if that is a terminal or another character device.
fn stdin() -> Result<Option<String>, String> {
    let device = std::fs::metadata("/dev/stdin").is_ok_and(|found| found.file_type().is_char_device());
    if device {
        return Ok(None);
    }
    read_stdin().map(Some)
}

fn read_stdin() -> Result<String, String> {
    let mut octets = Vec::new();
    let read = std::io::stdin().lock().take(SOURCE_BYTES_MAX as u64 + 1).read_to_end(&mut octets);
    read.map_err(|error| format!("read /dev/stdin: {error}"))?;
    Ok(decode(&octets))
}

fn check_command(builder: &Builder, program: &str, words: &[String]) -> ExitCode {
    let [file] = words else {
        complain(&check_usage(program));
        return ExitCode::from(EXIT_FORCED);
    };
    if matches!(file.as_str(), "-h" | "-help" | "--h" | "--help") {
        complain(&check_usage(program));
        return ExitCode::SUCCESS;
    }
    let source = if file == "-" { read_stdin().map(Source::stdin) } else { Ok(Source::File(PathBuf::from(file))) };
    let default_port = Flags::default().port;
    let text: Result<Text, String> = source.and_then(|source| source.load(&default_port));
    let report = match text {
        Ok(text) => check(&text, builder.plugins(), &COREDNS_DIRECTIVES, &default_port),
        Err(reason) => return fail(&reason),
    };
    // Whoever closed standard output looks at the exit code alone.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), report.text.as_bytes());
    if report.is_good { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FATAL) }
}
