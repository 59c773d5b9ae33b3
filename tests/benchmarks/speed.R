# Times and peak memory of lme4 and pbkrtest, one row of the table per process.
# Run: Rscript speed.R row file.csv; prints seconds and the process's peak in bytes.
suppressMessages({library(lme4); library(pbkrtest)})
given <- commandArgs(trailingOnly = TRUE)
seconds <- function(work, n = 1) {
  min(sapply(seq_len(n), function(i) system.time(work())[["elapsed"]]))
}
d <- read.csv(given[2], stringsAsFactors = TRUE)
if (given[1] == "crossed") {
  for (g in c("s", "d", "dept")) d[[g]] <- factor(d[[g]])
  d$service <- as.numeric(as.character(d$service))
  time <- seconds(function() lmer(y ~ service + (1|s) + (1|d) + (1|dept), d))
} else {
  d$format <- relevel(d$format, "old")
  f <- score ~ year*format + wave + (1 + time|student) + (1|LC) + (1|LC:class)
  if (given[1] == "fit") {
    time <- seconds(function() lmer(f, d), 5)
  } else {
    m <- suppressWarnings(lmer(f, d))
    if (given[1] == "kenward_roger") time <- seconds(function() vcovAdj(m))
    if (given[1] == "profile") {
      time <- seconds(function() suppressWarnings(suppressMessages(
        confint(m, parm = "theta_", method = "profile", quiet = TRUE))))
    }
    if (given[1] == "refits") { # 20 fresh fits stand for 1,000
      y <- simulate(m, 20, seed = 1)
      time <- 50 * seconds(function() for (i in 1:20) {
        d$score <- y[[i]]
        suppressWarnings(suppressMessages(lmer(f, d)))
      })
    }
  }
}
status <- grep("VmHWM", readLines("/proc/self/status"), value = TRUE)
cat(time, 1024 * as.numeric(gsub("[^0-9]", "", status)))
