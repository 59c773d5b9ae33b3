# p values of lmerTest (Satterthwaite) and pbkrtest (Kenward-Roger) for many outcomes
# of one design. Run: Rscript beside.R design.csv outcomes.csv p_values.json
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(jsonlite)})
files <- commandArgs(trailingOnly = TRUE)
d <- read.csv(files[1])
y <- as.matrix(read.csv(files[2], header = FALSE))
# The optimiser is told to go on until the digits compared are there.
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5),
                     check.conv.singular = "ignore", check.conv.grad = "ignore",
                     check.conv.hess = "ignore")
terms <- c("feature", "wave")
one <- function(i) {
  d$y <- y[, i]
  m <- lmerTest::lmer(y ~ wave + feature + (1 | student) + (1 | community), d,
                      control = tight)
  s <- coef(summary(m, ddf = "Satterthwaite"))[terms, "Pr(>|t|)"]
  adjusted <- vcovAdj(m)
  k <- sapply(terms, function(term) {
    row <- as.numeric(names(fixef(m)) == term)
    statistic <- abs(sum(row * fixef(m))) / sqrt(sum(row * (adjusted %*% row)))
    2 * pt(-statistic, Lb_ddf(row, vcov(m), adjusted))
  })
  rbind(s, k)
}
found <- lapply(seq_len(ncol(y)), one)
write(toJSON(found, digits = I(17)), files[3])
