# More reference fits: weights, singular fits, factor slopes, slopes at two levels,
# crossed factors with slopes, profile intervals, exact restricted LRT.
# Run in this folder: Rscript more.R (lme4, lmerTest, pbkrtest, RLRsim, jsonlite).
suppressMessages({library(lme4);library(lmerTest);library(pbkrtest);library(RLRsim);library(jsonlite);library(nlme,exclude=c("lmList"))})
J<-function(x,f) write(toJSON(x,digits=I(17),auto_unbox=TRUE,na="null",null="null",dataframe="columns",matrix="rowmajor"),f)
tight<-lmerControl(optimizer="bobyqa",optCtrl=list(rhoend=1e-9,maxfun=1e5),check.conv.singular="ignore",check.conv.grad="ignore",check.conv.hess="ignore",calc.derivs=FALSE)
ref<-function(nm,form,data,weights=NULL,kr=TRUE,csv=TRUE){
 if(csv) write.csv(format(data,digits=17,trim=TRUE),paste0("data_",nm,".csv"),row.names=FALSE)
 environment(form)<-environment(); data$.w<-if(is.null(weights)) 1 else weights
 out<-list(formula=deparse(form,width.cutoff=500),n=nrow(data),weighted=!is.null(weights))
 for(R in c(TRUE,FALSE)){
  m<-if(is.null(weights)) lme4::lmer(form,data,REML=R,control=tight) else lme4::lmer(form,data,REML=R,weights=.w,control=tight)
  o<-list(beta=as.list(fixef(m)),se=as.list(setNames(sqrt(diag(as.matrix(vcov(m)))),names(fixef(m)))),sigma=sigma(m),theta=as.list(getME(m,"theta")),
   varcorr=as.data.frame(VarCorr(m))[,c("grp","var1","var2","vcov","sdcor")],crit=if(R) REMLcrit(m) else deviance(m),AIC=AIC(m),BIC=BIC(m),singular=isSingular(m))
  o$hat<-unname(hatvalues(m)); o$fitted<-unname(fitted(m))
  mt<-suppressMessages(as_lmerModLmerTest(m)); cf<-as.data.frame(coef(summary(mt,ddf="Satterthwaite"))); o$satt<-cbind(term=rownames(cf),cf)
  a<-as.data.frame(anova(mt,ddf="Satterthwaite")); o$satt_anova<-cbind(term=rownames(a),a)
  if(R&&kr){ va<-vcovAdj(m); o$kr_vcov<-as.matrix(va); cf<-as.data.frame(coef(summary(mt,ddf="Kenward-Roger"))); o$kr<-cbind(term=rownames(cf),cf)
   a<-as.data.frame(anova(mt,ddf="Kenward-Roger")); o$kr_anova<-cbind(term=rownames(a),a)}
  if(!R){ p<-suppressWarnings(try(confint(profile(m,which="theta_")),silent=TRUE)); if(!inherits(p,"try-error")) o$profile<-list(name=rownames(p),low=unname(p[,1]),high=unname(p[,2])) }
  out[[if(R)"REML" else "ML"]]<-o }
 J(out,paste0(nm,".json")); cat(nm,"singular",out$REML$singular,out$ML$singular,"\n") }
ss<-lme4::sleepstudy
ss$w<-1+(ss$Days%%3)*0.75; ref("weighted",Reaction~Days+(Days|Subject),ss,weights=ss$w,kr=FALSE)
mc<-as.data.frame(nlme::Machines); mc$Worker<-factor(as.character(mc$Worker)); ref("factor_slope",score~Machine+(0+Machine|Worker),mc)
set.seed(11)
g<-expand.grid(rep=1:5,pupil=1:4,class=1:4,school=1:9)
g$x<-round(rnorm(nrow(g)),3); g$class<-interaction(g$school,g$class,drop=TRUE); g$pupil<-interaction(g$class,g$pupil,drop=TRUE)
b1<-matrix(rnorm(2*nlevels(g$pupil)),ncol=2)%*%matrix(c(.7,0,.1,.3),2); b2<-matrix(rnorm(2*nlevels(g$class)),ncol=2)%*%matrix(c(.5,0,-.1,.2),2); b3<-rnorm(9,0,.6)
g$y<-round(2+.4*g$x+b1[g$pupil,1]+b1[g$pupil,2]*g$x+b2[g$class,1]+b2[g$class,2]*g$x+b3[g$school]+rnorm(nrow(g),0,.8),4)
g<-g[runif(nrow(g))<.7,]; ref("three_level",y~x+(1+x|pupil)+(1+x|class)+(1|school),droplevels(g))
d<-expand.grid(subject=factor(1:24),item=factor(1:16)); d$cond<-(as.integer(d$subject)+as.integer(d$item))%%2-.5
bs<-matrix(rnorm(48),ncol=2)%*%matrix(c(.8,0,.2,.4),2); bi<-matrix(rnorm(32),ncol=2)%*%matrix(c(.5,0,0,.3),2)
d$y<-round(5+.3*d$cond+bs[d$subject,1]+bs[d$subject,2]*d$cond+bi[d$item,1]+bi[d$item,2]*d$cond+rnorm(nrow(d)),4)
d<-d[runif(nrow(d))<.85,]; ref("crossed_slopes",y~cond+(1+cond|subject)+(1+cond||item),d)
k<-expand.grid(wave=0:3,student=1:18,community=1:11); k$student<-interaction(k$community,k$student,drop=TRUE); k$mentor<-as.numeric(k$community<=5)
k$y<-round(3+.1*k$wave+rnorm(nlevels(k$student),0,.7)[k$student]+rnorm(nrow(k),0,.6),4); m0<-tapply(k$y,k$community,mean); k$y<-round(k$y-.9*(m0[k$community]-mean(k$y)),4)
k<-k[runif(nrow(k))<.75,]; k$community<-factor(k$community); ref("singular",y~wave+mentor+(1|student)+(1|community),k)
e<-exactRLRT(lmer(Yield~1+(1|Batch),Dyestuff),nsim=200000,seed=1); J(list(statistic=unname(e$statistic),p_value=e$p.value,nsim=200000),"zero_variance.json")
