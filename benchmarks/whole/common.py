"""The drawings and their readings, for the candidates of this folder: `python benchmarks/eye.py draw $WORK` makes the former."""
import sys, os, numpy as np, torch
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parents[1]))
from eye import pictures, readings, eye_auc
images, names = pictures(Path(os.environ["WORK"])); images = np.stack(images)
ids = [f"{'ab'[i >= 76]}{i - 76 * (i >= 76):03d}" for i in range(len(images))]
whole = readings() == "w"
def auc1(s,w):
    p,n=s[w],s[~w]; d=p[:,None]-n[None]; return ((d>0)+.5*(d==0)).mean()
def auc(s): return eye_auc(np.asarray(s, float), readings())
def ci(s,B=1000):
    s=np.asarray(s,float); r=np.random.default_rng(0); o=[]
    for _ in range(B):
        k=r.integers(len(s),size=len(s)); o.append(np.mean([auc1(s[k],w[k]) for w in whole]))
    return np.quantile(o,[.025,.975]).round(3)
def rel(s):
    "scores less their class's mean"
    s=np.asarray(s,float).copy()
    for c in set(names):
        k=np.array([n==c for n in names]); s[k]-=s[k].mean()
    return s
