#![no_main]

use darkroom_fuzz::run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| run("jpeg", bytes));
