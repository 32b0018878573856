//! What the shell does itself: functions and builtins. Everything else is a program of the machine.

use std::sync::Arc;

use super::absolute;
use super::parse::List;
use super::run::{Flow, Shell};

impl Shell<'_> {
    pub(super) async fn invoke(
        &mut self,
        program: &str,
        arguments: Vec<String>,
    ) -> Result<i32, Flow> {
        if let Some(body) = self.functions.get(program).cloned() {
            return self.function(&body, arguments).await;
        }
        let code = |arguments: &[String], status: i32| {
            arguments
                .first()
                .map_or(Ok(status), |text| text.parse::<i32>())
        };
        match program {
            "true" | ":" => Ok(0),
            "false" => Ok(1),
            "exit" | "return" => match code(&arguments, self.status) {
                Ok(status) if program == "exit" => Err(Flow::Exit(status & 255)),
                Ok(status) => Err(Flow::Return(status & 255)),
                Err(_) => {
                    self.complain(&format!(
                        "{program}: {}: numeric argument required",
                        arguments[0]
                    ));
                    Err(Flow::Exit(2))
                }
            },
            "echo" => {
                if arguments
                    .first()
                    .is_some_and(|first| first.starts_with('-') && first.len() > 1)
                {
                    return Err(self.unknown(&format!("`echo {}`", arguments[0])));
                }
                let line = arguments.join(" ");
                self.streams.say(&line);
                Ok(0)
            }
            "set" => self.set(&arguments),
            "shift" => {
                if self.parameters.is_empty() {
                    return Ok(1);
                }
                self.parameters.remove(0);
                Ok(0)
            }
            "cd" => {
                let Some(path) = arguments.first() else {
                    return Err(self.unknown("`cd` without a folder"));
                };
                let path = absolute(&self.folder, path);
                if self.system.is_directory(&path) {
                    self.folder = path;
                    Ok(0)
                } else {
                    self.complain(&format!("cd: {path}: No such file or directory"));
                    Ok(1)
                }
            }
            "local" => {
                if self.hidden.is_empty() {
                    self.complain("local: can only be used in a function");
                    return Ok(1);
                }
                for argument in arguments {
                    let (name, value) = argument
                        .split_once('=')
                        .map_or((argument.as_str(), None), |(name, value)| {
                            (name, Some(value))
                        });
                    let old = self.variables.remove(name);
                    self.hidden
                        .last_mut()
                        .expect("checked above")
                        .push((name.to_owned(), old));
                    if let Some(value) = value {
                        self.variables.insert(name.to_owned(), value.to_owned());
                    }
                }
                Ok(0)
            }
            "[" | "test" => self.test(program, arguments),
            _ => {
                let folder = self.folder.clone();
                Ok(self
                    .system
                    .execute(program, arguments, &folder, &mut self.streams)
                    .await)
            }
        }
    }

    async fn function(&mut self, body: &Arc<List>, arguments: Vec<String>) -> Result<i32, Flow> {
        if self.hidden.len() > 50 {
            return Err(self.unknown("functions that call themselves that deep"));
        }
        let parameters = std::mem::replace(&mut self.parameters, arguments);
        self.hidden.push(Vec::new());
        let result = Box::pin(self.list(body)).await;
        for (name, old) in self.hidden.pop().expect("pushed above").into_iter().rev() {
            match old {
                Some(value) => self.variables.insert(name, value),
                None => self.variables.remove(&name),
            };
        }
        self.parameters = parameters;
        match result {
            Err(Flow::Return(code)) => Ok(code),
            other => other,
        }
    }

    fn set(&mut self, arguments: &[String]) -> Result<i32, Flow> {
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let (on, letters) = match argument.split_at_checked(1) {
                Some(("-", letters)) if !letters.is_empty() => (true, letters),
                Some(("+", letters)) if !letters.is_empty() => (false, letters),
                _ => return Err(self.unknown(&format!("`set {argument}`"))),
            };
            for letter in letters.chars() {
                match letter {
                    'e' => self.errexit = on,
                    'u' => self.nounset = on,
                    'o' => match arguments.next().map(String::as_str) {
                        Some("pipefail") => self.pipefail = on,
                        Some("errexit") => self.errexit = on,
                        Some("nounset") => self.nounset = on,
                        other => {
                            return Err(
                                self.unknown(&format!("`set -o {}`", other.unwrap_or_default()))
                            );
                        }
                    },
                    _ => return Err(self.unknown(&format!("`set {argument}`"))),
                }
            }
        }
        Ok(0)
    }

    fn test(&mut self, program: &str, mut arguments: Vec<String>) -> Result<i32, Flow> {
        if program == "[" && arguments.pop().as_deref() != Some("]") {
            self.complain("[: missing `]'");
            return Ok(2);
        }
        let mut arguments = arguments.as_slice();
        let negated = arguments.len() > 1 && arguments[0] == "!";
        if negated {
            arguments = &arguments[1..];
        }
        let path = |text: &str| absolute(&self.folder, text);
        let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let truth = match texts.as_slice() {
            [] => false,
            [text] | ["-n", text] => !text.is_empty(),
            ["-z", text] => text.is_empty(),
            ["-f", text] => self.system.is_file(&path(text)),
            ["-d", text] => self.system.is_directory(&path(text)),
            ["-e", text] => {
                self.system.is_file(&path(text)) || self.system.is_directory(&path(text))
            }
            ["-s", text] => self
                .system
                .read(&path(text))
                .is_ok_and(|bytes| !bytes.is_empty()),
            [left, "=" | "==", right] => left == right,
            [left, "!=", right] => left != right,
            [
                left,
                operator @ ("-eq" | "-ne" | "-gt" | "-ge" | "-lt" | "-le"),
                right,
            ] => {
                let number = |text: &str| text.trim().parse::<i64>().map_err(|_| text.to_owned());
                match (number(left), number(right)) {
                    (Ok(left), Ok(right)) => match *operator {
                        "-eq" => left == right,
                        "-ne" => left != right,
                        "-gt" => left > right,
                        "-ge" => left >= right,
                        "-lt" => left < right,
                        _ => left <= right,
                    },
                    (Err(text), _) | (_, Err(text)) => {
                        self.complain(&format!("[: {text}: integer expression expected"));
                        return Ok(2);
                    }
                }
            }
            other => {
                let what = format!("the test `[ {} ]`", other.join(" "));
                return Err(self.unknown(&what));
            }
        };
        Ok(i32::from(truth == negated))
    }
}
