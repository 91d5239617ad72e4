use std::io::BufRead;
fn main() {
    for line in std::io::stdin().lock().lines() {
        println!(
            "{}",
            pipewright_compiler::template::debug_render(&line.unwrap())
        );
    }
}
